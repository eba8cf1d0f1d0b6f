"""Additions keep history: what changes no byte of a finished experiment leaves it current, in both engines.

In real clones, on the tiny experiment, by editing the clone's own sources and params.
"""

import re
import shutil
from pathlib import Path

import pytest

from clone import Clone
from dcpipe.commands.equivalent import record_equivalence
from dcpipe.errors import UserError
from repository import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.xdist_group("engines")]
LOOP, OUTER = "src/dcpipe/distillation/loop.py", "src/dcpipe/distillation/optimisers/outer_optimiser.py"
DISTILL = {f"distill_tiny_mtt_ipc{ipc}_set0" for ipc in (1, 2)}
MTT_JOBS = DISTILL | {f"evaluate_tiny_mtt_ipc{ipc}_set0_digits_native" for ipc in (1, 2)}


@pytest.fixture
def clone(recorded: Clone, tmp_path: Path) -> Clone:
    """A clone where the experiment was recorded, with all its history, to change."""
    shutil.copytree(recorded.path, tmp_path / "clone", symlinks=True)
    return Clone(tmp_path / "clone")


def stale(clone: Clone) -> set[str]:
    """The jobs that are not current, which both engines and the cards must agree on; views left out."""
    clone.dcpipe("graph", "export")
    told = clone.dcpipe("status", "tiny", "--jobs").stdout
    cards = {line.split()[1].rstrip(":") for line in told.splitlines() if re.match(r"stale|missing", line)}
    planned = clone.snakemake("-n").stdout
    rules = {label for label in re.findall(r"logs/\w+/(\S+)\.log", planned) if not label.startswith("report_")}
    assert rules == cards
    first = {
        line.rstrip(":").split(":")[-1] for line in clone.dvc("status").stdout.splitlines() if re.match(r"\S+:$", line)
    }
    assert first <= cards
    assert bool(first) == bool(cards)
    return cards


ASSERT = ("    todo = range(progress.iteration", "    assert outer.iterations > 0\n    todo = range(progress.iteration")
BUG = (
    "after.images.step(synthetic.images_NCHW, gradients.images)",
    "after.images.step(synthetic.images_NCHW, 1.01 * gradients.images)",
)


def test_a_commit_that_does_not_exist_is_refused_by_its_name() -> None:
    with pytest.raises(UserError, match="there is no commit 'nosuch'; name a commit, branch or tag of this clone"):
        record_equivalence(ROOT, "nosuch", [])


@pytest.mark.long
def test_an_assert_added_to_the_loop_is_shown_to_be_equivalent(clone: Clone) -> None:
    assert stale(clone) == set()
    clone.edit(LOOP, *ASSERT)
    clone.commit("an assert")
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}
    told = clone.dcpipe("equivalent").stdout
    assert "distill_tiny_mtt_ipc1_set0 (2 jobs): 4 files" in told
    assert "1 kind of job: every byte is the same; recorded in equivalences.yaml" in told
    assert stale(clone) == set()
    clone.commit("shown to be equivalent")
    assert clone.dcpipe("equivalent").stdout.startswith("every artifact here was made by the code that is running")
    clone.edit(
        LOOP, "assert outer.iterations > 0", "assert outer.iterations > 1"
    )  # another code, of which nothing is known
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}
    clone.dcpipe("equivalent")
    assert stale(clone) == set()


def test_a_bug_is_refused_by_name_and_nothing_is_written(clone: Clone) -> None:
    clone.edit(OUTER, *BUG)
    told = clone.dcpipe("equivalent", ok=False)
    assert told.returncode == 1
    assert "distill_tiny_mtt_ipc1_set0: " in told.stderr
    assert " differs between old and new code (distillation.optimisers.outer_optimiser)" in told.stderr
    assert clone.run("git", "status", "--porcelain").stdout.split() == ["M", OUTER]


@pytest.mark.long
def test_a_function_moved_to_a_new_module_leaves_no_job_stale(clone: Clone) -> None:
    source = (clone.path / OUTER).read_text()
    head, tail = source.split("@dataclass", 1)
    (clone.path / OUTER).write_text(f"{head}from dcpipe.distillation.moved import UNIT\n\n\n@dataclass{tail}")
    clone.edit(OUTER, BUG[0], BUG[1].replace("1.01", "UNIT"))
    (clone.path / "src/dcpipe/distillation/moved.py").write_text("UNIT = 1.0\n")
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}
    clone.dcpipe("equivalent", "HEAD")
    assert stale(clone) == set()
    (clone.path / "src/dcpipe/distillation/moved.py").write_text("UNIT = 2.0 / 2.0\n")
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}


@pytest.mark.long
def test_kinds_that_were_not_tried_stay_stale(clone: Clone) -> None:
    """The record of mtt says nothing of dm, which runs the same loop."""
    clone.edit("params/experiments/tiny.yaml", "methods: [random, mtt]", "methods: [random, mtt, dm]")
    clone.snakemake()
    clone.commit("with dm")
    both = MTT_JOBS | {name.replace("mtt", "dm") for name in MTT_JOBS} | {"metrics_tiny"}
    clone.edit(LOOP, *ASSERT)
    assert stale(clone) == both
    for folder in (clone.path / "artifacts/synthetic/tiny").glob("dm/*"):
        shutil.rmtree(folder)
    clone.dcpipe("equivalent")
    assert stale(clone) == both - MTT_JOBS


def add_nesterov(clone: Clone) -> int:
    """A knob that the typed section marks and that every preset states at the value that means "as before"."""
    config = "src/dcpipe/distillation/optimisers/optimiser_config.py"
    knob = '    nesterov: Annotated[bool, NeutralDefault(False)] = Field(description="looks ahead")\n'
    source = (clone.path / config).read_text()
    edited, count = re.subn(
        r"(class Sgd\(.*\n(?:.*\n)*?    momentum: .*\n)", lambda found: found.group(1) + knob, source, count=1
    )
    assert count == 1
    head = "from typing import Annotated\n\nfrom dcpipe.params.neutral import NeutralDefault\n"
    (clone.path / config).write_text(edited.replace("from typing import", f"{head}from typing import", 1))
    stated = 0
    for preset in (clone.path / "params/methods").glob("*.yaml"):
        text, count = re.subn(r"( +)kind: sgd\n", r"\1kind: sgd\n\1nesterov: false\n", preset.read_text())
        preset.write_text(text)
        stated += count
    return stated


def images_knob(clone: Clone, value: str) -> None:
    """Give the images' optimiser of mtt another value of the knob; an empty one is that the file states none."""
    path = clone.path / "params/methods/mtt.yaml"
    text = path.read_text()
    before, images, after = text.partition("  images:\n")
    edited, count = re.subn(r"      nesterov: .*\n", f"      nesterov: {value}\n" if value else "", after, count=1)
    if not count:
        edited, count = re.subn(r"kind: sgd\n", f"kind: sgd\n      nesterov: {value}\n", after, count=1)
    assert count == 1
    path.write_text(before + images + edited)


def test_a_knob_added_at_its_neutral_value_leaves_no_job_stale(clone: Clone) -> None:
    assert add_nesterov(clone) > 10
    assert stale(clone) == set()
    assert clone.lock().count("outer.images.optimiser.nesterov: false") == 2  # so that DVC sees it change
    assert "nesterov" not in "".join(path.read_text() for path in (clone.path / "artifacts").rglob("card.json"))
    images_knob(clone, "true")
    told = clone.dvc("status").stdout
    assert all(name in told for name in DISTILL)
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}


@pytest.mark.long
def test_a_knob_that_no_file_states_has_its_neutral_value(clone: Clone) -> None:
    add_nesterov(clone)
    images_knob(clone, "")
    assert stale(clone) == set()
    shown = clone.dcpipe("params", "show", "tiny").stdout
    assert re.search(r"outer\.images\.optimiser\.nesterov +false +<- default", shown)
    images_knob(clone, "true")
    assert stale(clone) == MTT_JOBS | {"metrics_tiny"}
