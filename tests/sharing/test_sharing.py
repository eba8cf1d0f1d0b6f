"""What one person pushed, another has by pulling, bit for bit and without computing: by a folder, and by S3.

S3 is moto's server on the loopback; its credentials come from the environment alone.
"""

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from clone import DVC_FILE, EXPERIMENT, Clone

SECRET = "not-a-secret-but-must-not-be-written"  # noqa: S105
AWS = {"AWS_ACCESS_KEY_ID": "someone", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1"}
OTHER = """\
title: Part of tiny
description: The same experts, and one of the sets.
runs:
  - datasets: [tiny]
    methods: [mtt]
    ipc: [2]
    sets: 1
    evaluations: [digits]
    networks: [native]
"""


@dataclass
class Remote:
    """A place to push to, how DVC is told of it, and what its commands need in their environment."""

    url: str
    options: dict[str, str]
    settings: dict[str, str]


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with one bucket."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address, out = f"http://127.0.0.1:{port}", tmp_path_factory.mktemp("s3") / "moto.out"
    command = [sys.executable, "-m", "moto.server", "--host", "127.0.0.1", "--port", str(port)]
    with out.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=file)
    try:
        deadline = time.monotonic() + 60
        while True:
            with suppress(OSError):
                urllib.request.urlopen(urllib.request.Request(f"{address}/shared", method="PUT"))  # noqa: S310
                break
            assert time.monotonic() < deadline, out.read_text()
            time.sleep(0.2)
        yield address
    finally:
        server.terminate()
        server.wait()


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone that ran the experiment and committed its dvc.lock."""
    clone = Clone.make(tmp_path_factory.mktemp("recorded") / "clone")
    clone.snakemake()
    clone.commit("recorded")
    return clone


@pytest.fixture(params=["folder", "s3"])
def remote(request: pytest.FixtureRequest, tmp_path: Path) -> Remote:
    if request.param == "folder":
        return Remote(str(tmp_path / "store"), {}, {})
    address: str = request.getfixturevalue("s3")
    return Remote(f"s3://shared/{tmp_path.name}", {"endpointurl": address}, AWS)


@pytest.fixture
def pushed(remote: Remote, recorded: Clone, tmp_path: Path) -> Clone:
    """The recorded clone after `dvc push`, its remote committed."""
    shutil.copytree(recorded.path, tmp_path / "pushed", symlinks=True)
    clone = Clone(tmp_path / "pushed", remote.settings)
    clone.run("dvc", "remote", "add", "--default", "store", remote.url)
    for name, value in remote.options.items():
        clone.run("dvc", "remote", "modify", "store", name, value)
    clone.dvc("push", "--run-cache")
    clone.commit("remote")
    assert SECRET not in (clone.path / ".dvc/config").read_text()
    return clone


def fresh(pushed: Clone, path: Path) -> Clone:
    """What another person has after `git clone`."""
    pushed.git("clone", "-q", str(pushed.path), str(path))
    clone = Clone(path, pushed.settings)
    assert not (path / "artifacts").exists()
    assert not (path / ".dvc/cache").exists()
    return clone


def test_what_is_pulled_in_a_fresh_clone_is_what_was_pushed(pushed: Clone, tmp_path: Path) -> None:
    clone = fresh(pushed, tmp_path / "clone")
    clone.dvc("pull")
    clone.dcpipe("adopt", EXPERIMENT)
    assert clone.artifacts() == pushed.artifacts()
    assert clone.snakemake_is_done()
    assert clone.dvc_is_clean()
    assert clone.dcpipe("verify", EXPERIMENT).returncode == 0
    assert clone.finished() == {}


def test_repro_with_pull_computes_nothing(pushed: Clone, tmp_path: Path) -> None:
    clone = fresh(pushed, tmp_path / "clone")
    clone.dvc("repro", "--pull")
    clone.dcpipe("adopt", EXPERIMENT)
    assert clone.artifacts() == pushed.artifacts()
    assert clone.lock() == pushed.lock()
    assert clone.finished() == {}


def test_the_run_cache_is_shared_too(pushed: Clone, tmp_path: Path) -> None:
    clone = fresh(pushed, tmp_path / "clone")
    (clone.path / DVC_FILE).with_suffix(".lock").unlink()  # only the run cache can know what these params gave
    clone.run("dvc", "fetch", "--run-cache")
    clone.dvc("repro", "--pull")
    assert clone.artifacts() == pushed.artifacts()
    assert clone.finished() == {}


@pytest.mark.parametrize("remote", ["folder"], indirect=True)
def test_a_flipped_bit_in_the_store_is_not_taken_over(pushed: Clone, remote: Remote, tmp_path: Path) -> None:
    scores = next((pushed.path / "artifacts").rglob("scores.json")).read_bytes()
    (stored,) = [file for file in Path(remote.url).rglob("*") if file.is_file() and file.read_bytes() == scores]
    stored.chmod(0o644)
    stored.write_bytes(scores.replace(b"0", b"1", 1))
    clone = fresh(pushed, tmp_path / "clone")
    clone.dvc("pull", ok=False)
    assert clone.dcpipe("adopt", EXPERIMENT, ok=False).returncode != 0


def test_two_experiments_with_the_same_experts_share_work_and_bytes(pushed: Clone, remote: Remote) -> None:
    before = pushed.finished()
    (pushed.path / "params/experiments/tiny-part.yaml").write_text(OTHER)
    pushed.dcpipe("graph", "export")
    pushed.run("snakemake", "--config", "experiment=tiny-part")
    assert pushed.ran_since(before) == {"metrics_tiny-part"}
    pushed.run("dvc", "push", "--with-deps", "experiments/tiny-part/dvc.yaml")
    if not remote.options:
        stored = sum(file.stat().st_size for file in Path(remote.url).rglob("*") if file.is_file())
        pushed.dvc("push")
        assert sum(file.stat().st_size for file in Path(remote.url).rglob("*") if file.is_file()) == stored
