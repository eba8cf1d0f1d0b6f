"""Laws of knobs that came later: at the value that means "as before" they are part of no identity."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
import yaml
from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.params import neutral, params_files, resolve, schema
from dcpipe.params.neutral import NeutralDefault
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import STRICT, Count
from dcpipe.params.values import merge_values, tracked_values
from dcpipe.params.values import neutral_values as stated


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Sgd:
    kind: Literal["sgd"]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Adam:
    kind: Literal["adam"]
    beta: float
    amsgrad: Annotated[bool, NeutralDefault(False)]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Section:
    rate: float
    warm: Annotated[Count, NeutralDefault(3)]
    optimiser: Annotated[Sgd | Adam, Field(discriminator="kind"), NeutralDefault(Sgd(kind="sgd"))]


def read(root: Path, name: str) -> tuple[ResolvedSection, Section]:
    """A file of these sections, as the library reads one."""
    resolved = resolve.resolve_section(root, "methods", name, later=neutral.optional_knobs(Section))
    section = schema.validate(resolved, Section)
    return neutral.with_neutral_values(resolved, section), section


def write(root: Path, name: str, tree: dict[str, object]) -> None:
    file = root / params_files.section_file_path("methods", name)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump(tree))


WRITTEN = {
    "nothing": ({}, {}, {}),
    "all as before": (
        {"warm": 3, "optimiser": {"kind": "sgd"}},
        {},
        {"warm": 3, "optimiser.kind": "sgd"},
    ),
    "another number": ({"warm": 4}, {"warm": 4}, {}),
    "another section, as before inside": (
        {"optimiser": {"kind": "adam", "beta": 0.5, "amsgrad": False}},
        {"optimiser.kind": "adam", "optimiser.beta": 0.5},
        {"optimiser.amsgrad": False},
    ),
    "another section, without the knob": (
        {"optimiser": {"kind": "adam", "beta": 0.5}},
        {"optimiser.kind": "adam", "optimiser.beta": 0.5},
        {},
    ),
    "all else": (
        {"warm": 1, "optimiser": {"kind": "adam", "beta": 0.5, "amsgrad": True}},
        {"warm": 1, "optimiser.kind": "adam", "optimiser.beta": 0.5, "optimiser.amsgrad": True},
        {},
    ),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_only_what_differs_from_before_is_part_of_the_identity(name: str, tmp_path: Path) -> None:
    tree, identity, listed = WRITTEN[name]
    write(tmp_path, "x", {"rate": 0.5, **tree})
    resolved, section = read(tmp_path, "x")
    file = "params/methods/x.yaml"
    assert merge_values([tracked_values(resolved)]) == {file: {"rate": 0.5, **identity}}
    assert stated([tracked_values(resolved)]) == ({file: listed} if listed else {})
    assert schema.validate(resolved, Section) == section, "what is shown is the whole section"


def test_a_variant_may_state_what_its_base_leaves_out(tmp_path: Path) -> None:
    write(tmp_path, "base", {"rate": 0.5})
    write(tmp_path, "x", {"base": "base", "warm": 7})
    resolved, section = read(tmp_path, "x")
    assert section.warm == 7
    assert merge_values([tracked_values(resolved)])["params/methods/x.yaml"] == {"base": "base", "warm": 7}
    write(tmp_path, "y", {"base": "x", "warm": 3})
    assert "warm" not in str(merge_values([tracked_values(read(tmp_path, "y")[0])]))
    write(tmp_path, "z", {"base": "base", "warn": 7})
    with pytest.raises(UserError, match=r"z\.yaml: unknown key warn"):
        read(tmp_path, "z")


def test_a_bound_holds_for_a_knob_that_may_be_left_out(tmp_path: Path) -> None:
    write(tmp_path, "x", {"rate": 0.5, "warm": 0})
    with pytest.raises(UserError, match=r"x\.yaml: warm: input should be greater than or equal to 1"):
        read(tmp_path, "x")


def test_what_no_file_states_shows_its_origin(tmp_path: Path) -> None:
    write(tmp_path, "x", {"rate": 0.5})
    resolved, _ = read(tmp_path, "x")
    assert (resolved.leaves["warm"].value, resolved.location_of("warm")) == (3, "default: warm")
    assert resolved.leaves["optimiser.kind"].value == "sgd"
