"""What knobs mean: the description of every value in a typed section, and the JSON Schema of a section."""

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import TYPE_CHECKING

from pydantic import TypeAdapter
from pydantic.json_schema import JsonSchemaValue

from dcpipe.errors import UserError
from dcpipe.params.application import Application
from dcpipe.params.axis import descriptions
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

TYPED: Mapping[str, type["DataclassInstance"]] = {
    "datasets": Dataset,
    "experts": Experts,
    "methods": Method,
    "evaluations": Evaluation,
    "applications": Application,
    "experiments": Experiment,
}


def section_schema(section: str) -> JsonSchemaValue:
    """The JSON Schema of a section as it is resolved: every knob stated, no `base`, `overrides` or `sources`.

    Raises: UserError for a section that does not exist.
    """
    if section not in TYPED:
        raise UserError(f"there is no section {section!r} of params", remedy=f"name one of {', '.join(TYPED)}")
    dialect = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return {**dialect, **TypeAdapter(TYPED[section]).json_schema()}


def knob_descriptions(config: "DataclassInstance") -> Mapping[str, str]:
    """The description of every knob of a typed section, and of its parts, by dotted key; where there is one."""
    return {key: text for key, text in _knobs(config, "") if text}


def _knobs(config: "DataclassInstance", prefix: str) -> Iterator[tuple[str, str]]:
    for name, text in descriptions(type(config)).items():
        yield f"{prefix}{name}", text
        inner = getattr(config, name)
        if is_dataclass(inner) and not isinstance(inner, type):
            yield from _knobs(inner, f"{prefix}{name}.")
