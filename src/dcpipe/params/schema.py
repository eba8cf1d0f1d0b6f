"""Turning a resolved tree into a typed dataclass, and its first error into one line.

All sections are frozen, keyword-only, strict and without defaults: a file states every knob it has, so that
`dcpipe params show` hides nothing and every knob can be overridden. Only a knob that was added later may be left out:
it is marked with the value that means "as before" (see `neutral`).
"""

import json
from difflib import get_close_matches
from typing import Annotated, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, JsonValue, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from dcpipe.errors import UserError
from dcpipe.params.axis import AxisValue, load_values
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.strict_yaml import Value
from dcpipe.params.value_origin import location_text

STRICT = ConfigDict(strict=True, extra="forbid", defer_build=True)  # axes know their values when they are first used


def at_most(limit: int, why: str) -> AfterValidator:
    """An upper bound that says why it is one. Raises (when it validates): ValueError."""

    def bounded(value: int) -> int:
        if value > limit:
            raise ValueError(f"is {_short(value)}; it can be at most {limit}: {why}")
        return value

    return AfterValidator(bounded)


def _short(value: int) -> str:
    return str(value) if abs(value) < 10**15 else f"above {10**15:.0e}"


def _maximum(limit: int) -> dict[str, JsonValue]:
    return {"maximum": limit}


_MOST, _LARGEST = 10**7, 2**63 - 1
Count = Annotated[
    int,
    Field(ge=1, json_schema_extra=_maximum(_MOST)),
    at_most(_MOST, "no paper uses a count this large, and planning takes time for each"),
]
Index = Annotated[
    int, Field(ge=0, json_schema_extra=_maximum(_LARGEST)), at_most(_LARGEST, "seeds and numbers have 64 bits")
]
ImageSide = Annotated[
    int,
    Field(ge=1, json_schema_extra=_maximum(1024)),
    at_most(1024, "images of the field have 16 to 256 pixels per side, and memory grows with the square"),
]
ClassCount = Annotated[
    int,
    Field(ge=2, json_schema_extra=_maximum(100_000)),
    at_most(100_000, "the largest labelled sets of images have 22,000"),
]
StepCount = Annotated[
    int,
    Field(ge=1, json_schema_extra=_maximum(100_000)),
    at_most(100_000, "published inner loops have at most 100 steps, and each keeps a copy of the network"),
]
ThreadCount = Annotated[
    int, Field(ge=1, json_schema_extra=_maximum(1024)), at_most(1024, "more threads than any machine has cores")
]
JobCount = Annotated[
    int,
    Field(ge=1, json_schema_extra=_maximum(1000)),
    at_most(1000, "each of them is a job, or part of one, that is planned and recorded by itself"),
]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
FiniteFloat = Annotated[float, Field(allow_inf_nan=False)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]

Section = TypeVar("Section")


def validate(resolved: ResolvedSection, section: type[Section]) -> Section:
    """The typed section.

    Raises: UserError naming the file and key of the first thing that is wrong, and how many more there are.
    """
    load_values()
    try:
        found = _adapter(section).validate_json(json.dumps(resolved.tree()))
    except ValidationError as error:
        raise _explain(error, resolved) from error
    if not isinstance(found, section):
        raise TypeError(f"{section.__name__} was asked for, and {type(found).__name__} was made")
    return found


_ADAPTERS: dict[tuple[type[object], int], TypeAdapter[object]] = {}


def _adapter(section: type[object]) -> TypeAdapter[object]:
    """Built once for all values that are registered: to build a method's takes longer than to validate it."""
    key = (section, AxisValue.num_registrations)
    if key not in _ADAPTERS:
        _ADAPTERS[key] = TypeAdapter(section)
    return _ADAPTERS[key]


def _explain(error: ValidationError, resolved: ResolvedSection) -> UserError:
    errors = error.errors(include_url=False)
    # an unknown key is the likeliest cause of a missing one: say it first
    errors.sort(key=lambda item: item["type"] not in {"unexpected_keyword_argument", "extra_forbidden"})
    first = errors[0]
    tree = resolved.tree()
    key = _key(first, tree)
    where = _where(key, resolved)
    missing = [
        _key(item, tree).rsplit(".", 1)[-1] for item in errors if item["type"] in {"missing", "missing_argument"}
    ]
    alternatives = [item["msg"] for item in errors if _key(item, tree) == key]  # several where one of a union is asked
    problem, remedy = _problem(first, key, missing, alternatives)
    others = len({_key(item, tree) for item in errors}) - 1
    more = f" (and {others} more)" if others else ""
    return UserError(f"{problem}{more}", where=where, remedy=remedy)


def _where(key: str, resolved: ResolvedSection) -> str:
    """File and key of a value; an element of a list stands where its list does."""
    head, index = key, ""
    while head:
        leaf = resolved.leaves.get(head)
        if leaf and (not index or isinstance(leaf.value, list)):
            return f"{leaf.origin}{index}"
        head, _, last = head.rpartition(".")
        index = f".{last}{index}"
    return location_text(resolved.file, key) if key else resolved.file


def _problem(first: ErrorDetails, key: str, missing: list[str], alternatives: list[str]) -> tuple[str, str | None]:
    kind = first["type"]
    if kind in {"unexpected_keyword_argument", "extra_forbidden"}:
        near = get_close_matches(key.rsplit(".", 1)[-1], missing, n=1)
        return "unknown key", f"did you mean {near[0]}?" if near else "remove it"
    if kind in {"missing", "missing_argument", "union_tag_not_found"}:
        return "this key is missing", "add it: every knob is stated in its file"
    if kind == "union_tag_invalid":
        context = first.get("ctx", {})
        return f"there is no {json.dumps(context['tag'])}", f"choose one of {context['expected_tags']}"
    message = first["msg"]
    if message.startswith("Value error, "):
        return message.removeprefix("Value error, "), None
    should_be = "Input should be "
    others = [one.removeprefix(should_be) for one in alternatives if one != message and one.startswith(should_be)]
    message = ", or ".join([message[0].lower() + message[1:], *others])
    shown = json.dumps(first["input"]) if not isinstance(first["input"], dict) else "a mapping"
    return f"{message} (it is {shown})", None


def _key(item: ErrorDetails, node: Value) -> str:
    """The dotted key of an error in a tree. Pydantic's location also names union members, which are not keys."""
    parts: list[str] = []
    location = list(item["loc"])
    for index, part in enumerate(location):
        if isinstance(node, dict) and part in node:
            node = node[str(part)]
            parts.append(str(part))
        elif isinstance(node, list) and isinstance(part, int) and part < len(node):
            node = node[part]
            parts.append(str(part))
        elif (
            index == len(location) - 1 and isinstance(node, dict) and node.get("kind") != part and "[" not in str(part)
        ):
            parts.append(str(part))
    if item["type"] in {"union_tag_invalid", "union_tag_not_found"} and not isinstance(node, str):  # else in short
        parts.append("kind")
    return ".".join(parts)
