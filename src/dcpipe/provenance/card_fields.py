"""What a card says, by its parts: the job, its params and inputs, its code, and the class of machine."""

import json

from dcpipe.provenance.damage import CARD
from dcpipe.provenance.json_value import JsonValue

Card = dict[str, object]


def params_of(card: Card) -> list[tuple[str, str, str]]:
    """File, key and value (as JSON) of every param in a card."""
    files = _part(card, "params").items()
    return [(file, key, json.dumps(value)) for file, values in files for key, value in values.mapping().items()]


def inputs_of(card: Card) -> list[tuple[str, str]]:
    """Path and payload digest of every input in a card."""
    inputs = _part(card, "inputs").values()
    return [(one["path"].text(), one["digest"].text()) for named in inputs for one in named.elements()]


def wildcards_of(card: Card) -> dict[str, str]:
    """The wildcards of the job that made an artifact."""
    return {name: value.text() for name, value in _part(card, "job").items()}


def machine_of(card: Card) -> dict[str, str]:
    """The class of software and hardware in a card: name and version, as text."""
    return {name: str(part.value) for name, part in sorted(_part(card, "class").items())}


def code_of(card: Card) -> list[tuple[str, str]]:
    """Module and digest of everything that a job's code reaches."""
    return [(name, str(part.value)) for name, part in sorted(_part(card, "code").items())]


def facts_of(card: Card) -> dict[str, JsonValue]:
    """What the stage wrote of its result, by name; empty if it wrote nothing."""
    return _part(card, "facts")


def _part(card: Card, name: str) -> dict[str, JsonValue]:
    return JsonValue(card.get(name) or {}, f"{CARD}: {name}").fields()
