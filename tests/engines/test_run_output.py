"""What a person sees of a run by Snakemake: real runs, in a pipe and on a terminal."""

import os
import pty
import subprocess
import termios
from pathlib import Path

import pytest

from clone import Clone

pytestmark = [pytest.mark.slow, pytest.mark.engines, pytest.mark.xdist_group("run-output")]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    """A clone whose dataset is made."""
    clone = Clone.make(tmp_path_factory.mktemp("output") / "clone")
    done = clone.snakemake("--", "artifacts/data/tiny/card.json")
    said = done.stderr.splitlines()
    (first,) = [line for line in said if line.startswith("1 job to run (1 data), ")]
    assert first.endswith(" s; each writes its log below logs/")
    assert any(line.startswith("1 of 1 job done in ") for line in said)
    assert len(said) < 12, done.stderr
    return clone


def test_a_failed_job_is_named_with_the_end_of_its_log(clone: Clone) -> None:
    store = clone.path / "artifacts/data/tiny/train.zarr/zarr.json"
    kept = store.read_bytes()
    store.write_text("{}")
    target = "artifacts/experts/tiny/plain/shard0/card.json"
    done = clone.snakemake("--rerun-triggers", "params", "--", target, ok=False)
    store.write_bytes(kept)
    assert done.returncode == 1
    assert "experts_tiny_plain_shard0 failed (rule experts)" in done.stderr
    assert "  the end of logs/experts/experts_tiny_plain_shard0.log:" in done.stderr
    assert "0 of 1 job done in" in done.stderr
    assert ", 1 failed: experts_tiny_plain_shard0" in done.stderr
    assert "RuleException" not in done.stderr  # the job has said it
    assert len(done.stderr.splitlines()) < 20, done.stderr


def test_a_terminal_shows_one_line_that_is_rewritten(clone: Clone, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 100))
    command = ["snakemake", "--config", "experiment=tiny", "--", "artifacts/synthetic/tiny/random/ipc1/set0/card.json"]
    with subprocess.Popen(
        command, cwd=clone.path, env=clone.environment | {"TERM": "xterm"}, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        while part := _read(ours):
            seen += part
    os.close(ours)
    assert process.returncode == 0, seen.decode()
    assert "| 0 of 1 job, " in seen.decode()
    assert "running distill_tiny_random_ipc1_set0" in seen.decode()
    assert seen.count(b"\n") < 12, seen.decode()


def _read(descriptor: int) -> bytes:
    """What comes next; nothing when the other side is closed."""
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def test_a_dry_run_and_verbose_say_what_snakemake_says(clone: Clone) -> None:
    target = "artifacts/experts/tiny/plain/shard0/card.json"
    assert "rule experts:" in clone.snakemake("--dry-run", "--", target).stdout
    done = clone.snakemake("--quiet", "all", "--touch", "--", "artifacts/data/tiny/card.json")
    assert "to run" not in done.stderr
