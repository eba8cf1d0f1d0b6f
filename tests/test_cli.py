"""Laws of the command line: one clear line, the right exit code, never a traceback."""

from importlib import metadata
from pathlib import Path

import pytest

import repository

MISTAKES = {
    "distill tiny mtt --ipc 0": "--ipc",
    "distill tiny mttt --ipc 1": "did you mean mtt?",
    "distill tinny mtt --ipc 1": "did you mean tiny?",
    "distill tiny mtt --ipc 17": "more than the training part has",
    "experts tiny plain --shard 7": "there is no shard 7",
    "whiten tiny": "this dataset has no whitening",
    "nonsense": "No such command 'nonsense' (see `dcpipe --help`)",
    "graph nonsense": "No such command 'nonsense' (see `dcpipe graph --help`)",
    "plan --nonsense": "No such option: --nonsense (see `dcpipe plan --help`)",
    "plan nothing": "there is no experiments file named 'nothing'",
}


def test_a_mistake_is_one_line_and_exit_code_two(root: Path, subtests: pytest.Subtests) -> None:
    for command, said in MISTAKES.items():
        with subtests.test(command=command):
            code, text = repository.dcpipe(root, *command.split())
            assert code == 2
            assert said in text
            assert "Traceback" not in text
            assert len([line for line in text.splitlines() if line.startswith("dcpipe:")]) == 1


def test_without_a_command_the_help_is_printed_and_no_mistake(root: Path) -> None:
    code, text = repository.dcpipe(root)
    assert code == 2
    assert "Usage: dcpipe [OPTIONS] COMMAND" in text
    assert "dcpipe: " not in text


def test_a_process_answers_as_the_command_line_in_this_process(root: Path) -> None:
    command = "distill tiny mttt --ipc 1"
    done = repository.child(root, "-m", "dcpipe", *command.split())
    assert (done.returncode, done.stdout + done.stderr) == repository.dcpipe(root, *command.split())


@pytest.mark.slow
@pytest.mark.parametrize(
    "words", ["distill tiny mttt --ipc 1", "experts tiny plain --shard 7", "graph check", "record tiny", "plan digits"]
)
def test_what_computes_nothing_loads_no_torch(root: Path, words: str) -> None:
    code = "import sys; sys.modules['torch'] = None; sys.argv[0] = 'dcpipe'; import dcpipe.cli as c; c.main()"
    done = repository.child(root, "-c", code, *words.split())
    assert "Traceback" not in done.stderr
    assert "torch" not in done.stderr
    if words.startswith(("distill", "experts")):
        assert done.returncode == 2


@pytest.mark.slow
@pytest.mark.parametrize("words", ["plan tiny", "status tiny --jobs", "where {folder}", "params show tiny --describe"])
def test_questions_load_neither_torch_nor_an_engine(made: Path, words: str) -> None:
    code = (
        "import atexit, sys; heavy = {'torch', 'zarr', 'dvc', 'snakemake', 'sklearn'}; "
        "atexit.register(lambda: print('loaded:', sorted(heavy & sys.modules.keys()))); "
        "import dcpipe.cli as c; c.main()"
    )
    folder = "artifacts/synthetic/tiny/mtt/ipc1/set0"
    done = repository.child(made, "-c", code, *words.format(folder=folder).split())
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("loaded: []\n")
    assert done.stdout.count("\n") > 3  # it answered, too


@pytest.mark.parametrize(
    ("words", "said"),
    [("plan", "\nall            12       12"), ("status --jobs", "metrics_own"), ("params show", "experiment own")],
)
def test_a_question_may_be_about_a_file_elsewhere(root: Path, tmp_path: Path, words: str, said: str) -> None:
    file = tmp_path / "elsewhere/own.yaml"
    file.parent.mkdir()
    file.write_text((root / "params/experiments/tiny.yaml").read_text())
    code, text = repository.dcpipe(root, *words.split(), str(file))
    assert code == 0
    assert said in text


def test_verify_fails_when_an_artifact_is_not_what_it_was(tiny: Path) -> None:
    assert repository.dcpipe(tiny, "verify", "tiny")[0] == 0
    scores = next((tiny / "artifacts/scores").rglob("scores.json"))
    scores.write_text(scores.read_text().replace("mean", "nean"))
    code, text = repository.dcpipe(tiny, "verify", "tiny")
    assert code == 1
    assert str(scores.relative_to(tiny)) in text


@pytest.mark.parametrize(
    ("words", "offered"), [("distill digits-v", "digits-val"), ("distill tiny mtt-r", "mtt-robust")]
)
def test_a_shell_is_offered_the_names_of_params(root: Path, words: str, offered: str) -> None:
    position = str(len(words.split()))
    environment = {"COMP_WORDS": f"dcpipe {words}", "COMP_CWORD": position, "_DCPIPE_COMPLETE": "complete_bash"}
    code = "import sys; sys.argv = ['dcpipe']; from dcpipe import cli; cli.main()"
    assert repository.child(root, "-c", code, **environment).stdout.split() == [offered]


def test_the_version_is_the_installed_one(root: Path) -> None:
    assert repository.child(root, "-m", "dcpipe", "--version").stdout == f"dcpipe {metadata.version('dcpipe')}\n"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_the_completion_of_each_shell_asks_dcpipe(root: Path, shell: str) -> None:
    done = repository.child(root, "-m", "dcpipe", "completion", shell)
    assert (done.returncode, "_DCPIPE_COMPLETE" in done.stdout) == (0, True)


def test_every_verb_says_what_it_does_and_shows_an_example() -> None:
    from dcpipe.cli.verbs import app

    for command in app.registered_commands:
        text = command.callback.__doc__
        assert text.splitlines()[0].endswith(".")
        assert "Example: d" in text
