"""Laws of format numbers: older ones are read, newer ones get one clear line and are left alone."""

import hashlib
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

import repository
from dcpipe.errors import NewerFormatError, UserError
from dcpipe.params import formats
from dcpipe.provenance import artifact, checkpoint, equivalences
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.provenance.staleness import staleness_problem
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.runner import ExperimentRunner


def edit_card(root: Path, folder: Path, **values: object) -> dict[str, object]:
    """Give a card other values (None: no such key)."""
    path = root / folder / artifact.CARD
    card = {**json.loads(path.read_text()), **values}
    path.write_text(json.dumps({key: value for key, value in card.items() if value is not None}))
    return card


def test_a_number_is_read_or_refused_in_one_line() -> None:
    assert [formats.checked_format(found, newest=2, where="x") for found in (1, 2)] == [1, 2]
    with pytest.raises(NewerFormatError) as newer:
        formats.checked_format(3, newest=2, where="x")
    assert str(newer.value) == "x: was written by a newer dcpipe (format 3; this one reads 1 to 2); upgrade dcpipe"
    with pytest.raises(UserError, match="was written by an older dcpipe"):
        formats.checked_format(1, oldest=2, newest=3, where="x")
    for wrong in (True, "1", 0, None, 1.0):
        with pytest.raises(UserError, match="format must be a whole number"):
            formats.checked_format(wrong, newest=2, where="x")


def test_cards_state_their_format_and_older_ones_are_read(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    assert edit_card(tiny, job.folder)["format"] == artifact.FORMAT == 3
    edit_card(tiny, job.folder, format=None, card_sha256=None)
    assert staleness_problem(job, tiny) is None
    card = artifact.read_card(tiny / job.outputs["card"])
    assert card["format"] == 3


def test_an_older_card_names_a_files_presets_after_the_file(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    older = {"animals.yaml#presets.mtt-long": {"seed": 0}, "animals.yaml": {"runs": []}, "published.yaml#mtt-x": {}}
    edit_card(tiny, job.folder, format=None, card_sha256=None, params={**older, "params/methods/mtt.yaml": {"seed": 1}})
    found = artifact.read_card(tiny / job.outputs["card"])["params"]
    assert found == {
        "params/methods/mtt-long.yaml": {"seed": 0},
        "params/experiments/animals.yaml": {"runs": []},
        "params/experiments/mtt-x.yaml": {},
        "params/methods/mtt.yaml": {"seed": 1},
    }


def test_what_a_newer_dcpipe_made_is_not_made_again(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    edit_card(tiny, job.folder, format=4)
    before = repository.bytes_below(tiny / job.folder)
    with pytest.raises(NewerFormatError, match=r"card\.json: was written by a newer dcpipe \(format 4"):
        list(ExperimentRunner(Graph(tiny)).run_experiment("tiny"))
    assert repository.bytes_below(tiny / job.folder) == before


def write_state(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    content = save({"a": torch.ones(2), "__meta__": torch.frombuffer(bytearray(b"[1]"), dtype=torch.uint8), **tensors})
    path.write_bytes(hashlib.sha256(content).digest() + content)


def test_saved_states_of_older_formats_go_on_and_newer_do_not(tmp_path: Path) -> None:
    state = ResumeState(tmp_path)
    write_state(tmp_path / "x.state", {})
    found = state.load("x")
    assert found is not None
    assert (found[0].keys(), found[1]) == ({"a"}, [1])
    state.save("y", {"a": torch.ones(2)}, [1])
    assert state.load("y") is not None
    write_state(tmp_path / "z.state", {"__format__": torch.tensor(checkpoint.FORMAT + 1)})
    with pytest.raises(NewerFormatError, match=r"z\.state: was written by a newer dcpipe"):
        state.load("z")


def test_params_files_may_state_their_format(root: Path) -> None:
    before = {job.name: job.params for job in Graph(root).experiment_jobs("tiny")}
    file = root / "params/methods/mtt.yaml"
    text = file.read_text()
    file.write_text(f"format: 1\n{text}")
    assert {job.name: job.params for job in Graph(root).experiment_jobs("tiny")} == before
    file.write_text(f"format: 2\n{text}")
    with pytest.raises(NewerFormatError, match=r"^params/methods/mtt\.yaml: was written by a newer dcpipe \(format 2"):
        Graph(root).experiment_jobs("tiny")


def test_equivalences_of_a_newer_format_are_refused(root: Path) -> None:
    file = root / equivalences.FILE
    file.write_text("format: 1\nmodules: []\nkinds: []\n")
    assert Graph(root).experiment_jobs("tiny")
    file.write_text("format: 2\nmodules: []\nkinds: []\n")
    with pytest.raises(NewerFormatError, match=r"equivalences\.yaml: was written by a newer dcpipe"):
        Graph(root)
    file.write_text("format: 1\nmodules: [{module: a, old: null}]\nkinds: []\n")
    with pytest.raises(UserError, match=r"equivalences\.yaml: modules\.0\.new: Field required"):
        Graph(root)
