"""Laws of what is called inside DVC: remembered, its questions have the answers that it gives itself."""

import subprocess
from pathlib import Path

import yaml
from dvc.repo import Repo
from dvc.utils.serialize import dump_yaml, load_yaml

from dcpipe.engines import dvc_lock, dvc_private


def test_what_git_tracks_is_what_dvc_says_it_tracks(tmp_path: Path) -> None:
    for name in ("a.txt", "deep/er/b ä.txt", "deep/c.txt", "loose/d.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    subprocess.run(["git", "add", "a.txt", "deep"], cwd=tmp_path, check=True)
    with Repo.init(str(tmp_path)) as repo:
        known = dvc_private.tracked_in_git(tmp_path)
        asked = [
            "",
            "a.txt",
            "a",
            "deep",
            "deep/e",
            "deep/er",
            "deep/er/b ä.txt",
            "loose",
            "loose/d.txt",
            ".dvc",
            "none",
        ]
        paths = [str(tmp_path / name) for name in asked if name]
        assert {path: path in known for path in paths} == {path: repo.scm.is_tracked(path) for path in paths}
        assert {str(tmp_path / "deep"), str(tmp_path / "a.txt")} < known


def test_a_file_of_dvc_is_read_as_if_dvc_had_written_it(tmp_path: Path) -> None:
    tree = {"cmd": "x --a 'b'", "params": {"p.yaml": {"rate": 1e-05, "words": ["on", "1.0", ""], "none": None}}, "n": 3}
    dvc_lock.dump(str(tmp_path / "ours"), tree)
    dump_yaml(str(tmp_path / "theirs"), tree)
    assert load_yaml(str(tmp_path / "ours")) == load_yaml(str(tmp_path / "theirs")) == tree


def test_equal_params_are_written_once_and_read_as_before(tmp_path: Path) -> None:
    params = {"code_identity.yaml": {f"modules.m{number}": f"h{number}" for number in range(30)}}
    stages = {name: {"cmd": name, "params": {**params, "p.yaml": {"seed": 1.0}}} for name in ("a", "b", "c")}
    stages["d"] = {"cmd": "d", "params": {**params, "p.yaml": {"seed": 1}}}
    dvc_lock.write_lock(tmp_path / "dvc.lock", stages)
    text = (tmp_path / "dvc.lock").read_text()
    assert text.count("modules.m29") == 1
    assert yaml.safe_load(text)["stages"] == stages
    assert load_yaml(str(tmp_path / "dvc.lock"))["stages"] == stages
    assert {type(stage["params"]["p.yaml"]["seed"]) for stage in yaml.safe_load(text)["stages"].values()} == {
        int,
        float,
    }
    dvc_lock.write_lock(tmp_path / "dvc.lock", dvc_lock.read_stages(tmp_path / "dvc.lock"))
    assert (tmp_path / "dvc.lock").read_text() == text
