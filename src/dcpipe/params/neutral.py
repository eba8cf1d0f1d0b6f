"""Knobs that came later: at the value that means "as before" they are no part of any identity.

A field of a typed section names that value: `nesterov: Annotated[bool, NeutralDefault(False)]`. A file that does not
state the knob has that value. What was recorded before the knob existed stays current, in cards and both engines, until
a file gives it another value. The value of a whole axis is an instance of its section:
`NeutralDefault(Sgd(kind="sgd"))`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass, replace

from pydantic import GetCoreSchemaHandler, TypeAdapter
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.strict_yaml import Value
from dcpipe.params.trees import flatten
from dcpipe.params.value_origin import DEFAULT, ResolvedValue, ValueOrigin


@dataclass(frozen=True, slots=True)
class NeutralDefault:
    """Marks a field of a typed section: the value at which everything is as it was before the field existed."""

    value: object

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The field's schema, with the value where a file does not state it."""
        return core_schema.with_default_schema(handler(source), default=self.value)


def fields_with_neutral_default(section: object, prefix: str = "") -> Iterator[tuple[str, object, NeutralDefault]]:
    """Every field of a typed section, at any depth, that names such a value: dotted key, value and mark."""
    kind = type(section)
    if not is_pydantic_dataclass(kind):
        return
    for name, field in kind.__pydantic_fields__.items():
        value = getattr(section, name)
        mark = next((one for one in field.metadata if isinstance(one, NeutralDefault)), None)
        if mark:
            yield f"{prefix}{name}", value, mark
        yield from fields_with_neutral_default(value, f"{prefix}{name}.")


_LATER: dict[type[object], frozenset[str]] = {}  # by section: its schema takes long to make


def optional_knobs(kind: type[object]) -> frozenset[str]:
    """The dotted keys of a typed section that a file may leave out: those of marked fields; no other has a default."""
    if kind not in _LATER:
        _LATER[kind] = frozenset(_optional(TypeAdapter(kind).json_schema()))
    return _LATER[kind]


def _optional(schema: JsonSchemaValue) -> set[str]:
    found: set[str] = set()

    def walk(node: object, prefix: str) -> None:
        if not isinstance(node, dict):
            return
        if "$ref" in node:
            walk(schema["$defs"][str(node["$ref"]).rpartition("/")[2]], prefix)
        for part in ("anyOf", "oneOf", "allOf"):
            for inner in node.get(part, ()):
                walk(inner, prefix)
        for name, inner in node.get("properties", {}).items():
            if "default" in inner:
                found.add(f"{prefix}{name}")
            walk(inner, f"{prefix}{name}.")

    walk(schema, "")
    return found


def with_neutral_values(resolved: ResolvedSection, section: object) -> ResolvedSection:
    """The resolved values with those that no file states (their origin is `default`) and the keys at "as before"."""
    leaves, neutral = dict(resolved.leaves), set[str]()
    for key, value, mark in fields_with_neutral_default(section):
        own = [one for one in leaves if one == key or one.startswith(f"{key}.")]
        if not own:
            found = {one: ResolvedValue(plain, ValueOrigin(DEFAULT, one), None) for one, plain in _leaves(key, value)}
            leaves |= found
            own = list(found)
        if value == mark.value:
            neutral.update(own)
    return replace(resolved, leaves=leaves, neutral=frozenset(neutral))


def _leaves(key: str, value: object) -> list[tuple[str, Value]]:
    if is_dataclass(value) and not isinstance(value, type):
        return flatten(asdict(value), f"{key}.", file=DEFAULT)
    if value is None or isinstance(value, bool | int | float | str):
        return [(key, value)]
    raise TypeError(f"{key}: NeutralDefault takes a plain value or a section, not {value!r}")
