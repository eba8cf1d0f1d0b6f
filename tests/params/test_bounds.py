"""Laws of values without end: each is refused by file and key with a reason, before anything is planned from it."""

import subprocess
import sys
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import strict_yaml
from dcpipe.params.epochs import kept_epochs
from dcpipe.workflow.graph import Graph

FOLDER = {"kind": "folder", "name": "birds", "classes": 3, "channels": 3, "image_size": 8, "digest": None}
UNBOUNDED: dict[str, tuple[str, str, object, str]] = {
    "pixels": ("datasets/tiny.yaml", "source", {**FOLDER, "image_size": 100_000}, "at most 1024: images of the field"),
    "classes": ("datasets/tiny.yaml", "source", {**FOLDER, "classes": 10**12}, "at most 100000: the largest labelled"),
    "images per class": (
        "datasets/tiny.yaml",
        "split.train_per_class",
        10**30,
        "is above 1e+15; it can be at most 10000000",
    ),
    "threads": ("methods/mtt.yaml", "compute.threads", 1_000_000, "at most 1024: more threads than any machine has"),
    "inner steps": ("methods/mtt.yaml", "overrides.tiny.matching.inner_steps", 10**12, "at most 100000: published inn"),
    "iterations": ("methods/mtt.yaml", "overrides.tiny.outer.iterations", 10**12, "at most 10000000: no paper uses"),
    "experts": ("experts/plain.yaml", "overrides.tiny.count", 10**9, "at most 1000: each of them is a job"),
    "a seed": ("methods/mtt.yaml", "seed", 2**63, "at most 9223372036854775807: seeds and numbers have 64 bits"),
    "networks": (
        "evaluations/digits.yaml",
        "overrides.tiny.networks",
        10**9,
        "at most 10000000: no paper uses a count this",
    ),
}


@pytest.mark.parametrize("name", UNBOUNDED)
def test_a_value_above_its_bound_is_refused_with_the_reason(name: str, root: Path) -> None:
    file, key, value, told = UNBOUNDED[name]
    repository.set_params(root, file, {key: value})
    with pytest.raises(UserError) as caught:
        Graph(root).experiment_jobs("tiny")
    assert told in str(caught.value)
    assert str(caught.value).startswith(f"params/{file}: {key}")


@pytest.mark.parametrize(("sets", "told"), [(10**7, "runs.0.sets: is 10000000; it can be at most 1000"), (1000, None)])
def test_as_many_sets_as_nobody_plans_are_refused_before_they_are_counted(
    sets: int, told: str | None, root: Path
) -> None:
    run = {"datasets": ["tiny"], "methods": ["mtt", "random"], "ipc": [1, 2], "sets": sets, "evaluations": ["digits"]}
    runs = [{**run, "networks": ["native", *(f"convnet2-w{width}" for width in range(1, 6))]}]
    repository.set_params(root, "experiments/tiny.yaml", {"runs": runs})
    told = (
        told
        or "runs: ask for 24000 scores; the most allowed is 20000, because every score is a job; split the experiment"
    )
    with pytest.raises(UserError, match=rf"^params/experiments/tiny\.yaml: {told}"):
        Graph(root).experiment_jobs("tiny")


def test_kept_epochs_beyond_the_last_stay_beyond_and_are_few() -> None:
    assert kept_epochs("0-2,4", 4) == (0, 1, 2, 4)
    assert kept_epochs("1-99999999999", 4) == (1, 2, 3, 4, 5)
    assert kept_epochs("99999999999", 4) == (5,)


BOMBS = {
    "brackets": ("a: " + "[" * 3000 + "]" * 3000, "is nested too deeply"),
    "aliases": (
        "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n"
        + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)),
        "its aliases stand for more than a params file holds",
    ),
    "an alias of itself": ("a: &a [*a]", "found unconstructable recursive node"),
    "letters": ("#" * (strict_yaml.LARGEST + 1), "a params file has at most"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_yaml_bomb_is_one_line(name: str, tmp_path: Path) -> None:
    text, told = BOMBS[name]
    (tmp_path / "file.yaml").write_text(text)
    with pytest.raises(UserError, match=told) as caught:
        strict_yaml.read_yaml(tmp_path / "file.yaml")
    assert "\n" not in str(caught.value)


def test_a_file_without_an_end_is_read_no_further_than_a_params_file_goes() -> None:
    code = (
        "import resource; from pathlib import Path; from dcpipe.params import strict_yaml\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2**30, 2**30))\nstrict_yaml.read_yaml(Path('/dev/zero'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=120)
    assert done.stderr.splitlines()[-1].startswith("dcpipe.errors.UserError: /dev/zero: has 4194305 characters; ")
