"""Values read back from JSON: what is as expected comes out typed, everything else is refused with its place."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dcpipe.errors import CorruptArtifactError
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.provenance.json_value import JsonValue


def read(value: object) -> JsonValue:
    return JsonValue(json.loads(json.dumps(value)), "x.json")


def test_values_come_out_as_they_were_written() -> None:
    value = read({"name": "mean", "shape": [3, 1], "values": [0.1, 2], "classes": {"a": "bird"}})
    assert value["name"].text() == "mean"
    assert value["shape"].integers() == (3, 1)
    assert value["values"].numbers() == [0.1, 2.0]
    assert value["classes"].text_fields() == {"a": "bird"}
    assert value.get("absent") is None


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda value: value["absent"], "x.json: has no key 'absent'"),
        (lambda value: value["flag"].integer(), "x.json: flag: is True, not a whole number"),
        (lambda value: value["rows"].elements()[1].number(), r"x.json: rows\[1\]: is 'two', not a number"),
        (lambda value: value["rows"].mapping(), "x.json: rows: is .*, not a mapping"),
        (lambda value: value["flag"].elements(), "x.json: flag: is True, not a list"),
        (lambda value: value["flag"].text(), "x.json: flag: is True, not a text"),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(wrong: Callable[[JsonValue], object], message: str) -> None:
    with pytest.raises(CorruptArtifactError, match=f"^{message}; remove x.json, then"):
        wrong(read({"flag": True, "rows": [1, "two"]}))


def test_what_lacks_in_a_resume_state_is_mended_by_removing_it(tmp_path: Path) -> None:
    """DVC and Snakemake know artifacts; a job makes its state anew."""
    state = ResumeState(tmp_path)
    with pytest.raises(CorruptArtifactError) as caught:
        JsonValue({}, str(state.path("distill")))["iteration"]
    place = tmp_path / "distill.state"
    assert str(caught.value) == f"{place}: has no key 'iteration'; remove {place}: the job then begins anew"
