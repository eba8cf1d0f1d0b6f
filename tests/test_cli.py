"""Laws of the command line: one clear line, the right exit code, never a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import repository


def run(root: Path, *words: str) -> tuple[int, str]:
    """Exit code and standard error of a command in a root."""
    environment = {**os.environ, "PYTHONPATH": str(repository.ROOT / "src")}
    command = [sys.executable, "-m", "dcpipe", *words]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stderr + done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("distill", "tiny", "mtt", "--ipc", "0"), "--ipc"),
        (("distill", "tiny", "mttt", "--ipc", "1"), "did you mean mtt?"),
        (("distill", "tinny", "mtt", "--ipc", "1"), "did you mean tiny?"),
        (("distill", "tiny", "mtt", "--ipc", "17"), "more than the training part has"),
        (("experts", "tiny", "plain", "--shard", "7"), "there is no shard 7"),
        (("whiten", "tiny"), "not whitened"),
        (("nonsense",), "No such command"),
        (("plan", "nothing"), "there is no experiments file named 'nothing'"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(root: Path, words: tuple[str, ...], said: str) -> None:
    code, text = run(root, *words)
    assert code == 2
    assert said in text
    assert "Traceback" not in text
    assert len([line for line in text.splitlines() if line.startswith("dcpipe:")]) == 1


def test_verify_fails_when_an_artifact_is_not_what_it_was(tiny: Path) -> None:
    assert run(tiny, "verify", "tiny")[0] == 0
    scores = next((tiny / "artifacts/scores").rglob("scores.json"))
    scores.write_text(scores.read_text().replace("mean", "nean"))
    code, text = run(tiny, "verify", "tiny")
    assert code == 1
    assert str(scores.relative_to(tiny)) in text
