"""Axes, and the values on them.

A value on an axis is one frozen dataclass with its knobs. It registers itself when its module is imported: a module of
this package whose name ends in `_config`, or a module that another package names by the entry point `dcpipe.axes`.

    @dataclass(frozen=True, kw_only=True, config=STRICT)
    class Sam(Sharpness):                        # Sharpness is the axis
        implementation = ("dcpipe.distillation.sharpness.sam",)

        kind: Literal["sam"]                     # the value's name in YAML
        radius: NonNegativeFloat = Field(description="length of the perturbation, over all images")

        def build(self) -> SharpnessRule:        # imports the implementation: planning loads no torch
            from dcpipe.distillation.sharpness import sam

            return sam.SamRule(self)

A params section types a field by the axis (`sharpness: Sharpness`), and accepts every registered kind there.

`implementation` names the modules that alter a result where the value is chosen: they are part of the code identity of
the jobs that choose it. The module with the knobs is not, so that a new description makes no result stale.
"""

from abc import ABC
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from enum import Enum
from functools import cache
from importlib import import_module
from inspect import get_annotations
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, TypeVar, get_args

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.dataclasses import is_pydantic_dataclass
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from dcpipe.errors import UserError
from dcpipe.params import plugins
from dcpipe.params.resolve import ResolvedSection

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

SOURCE = Path(__file__).parents[1]
SUFFIX = "_config"
REGISTERING = (SUFFIX, "_network")  # ends of the names of modules that register values, or families of networks


class Need(Enum):
    """What a value may need of the rest of a method; the matching offers it or does not."""

    EXPERTS = "experts"
    STUDENTS = "students"
    LEARNABLE_LABELS = "a derivative of the labels"


@dataclass(frozen=True, slots=True)
class Example:
    """A value for the laws that try every value on the dataset `tiny`.

    `tree`: its YAML. `required_params`: what the preset must then say too, by dotted key. `changes`: for a knob that
    the usual change (one more, half as much again, another word) does not suit, what to write instead.
    """

    tree: Mapping[str, object]
    required_params: Mapping[str, object] = field(default_factory=dict)
    changes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ValueLocation:
    """The place of a value in a resolved section, from which it names its keys in a refusal."""

    resolved: ResolvedSection
    key: str

    def error(self, knob: str, problem: str, remedy: str | None = None) -> UserError:
        """The refusal of one of the value's own knobs."""
        return self.error_at(f"{self.key}.{knob}" if knob else self.key, problem, remedy)

    def error_at(self, key: str, problem: str, remedy: str | None = None) -> UserError:
        """The refusal of any key of the section; the kind of a value that is written in short stands at the value."""
        if key not in self.resolved.leaves and key.endswith(".kind"):
            key = key.removesuffix(".kind")
        return UserError(problem, where=self.resolved.location_of(key), remedy=remedy)


class AxisValue(ABC):
    """A value on an axis; a class with `axis=` is an axis, and its subclasses are its values."""

    axis: ClassVar[str]
    registry: ClassVar[dict[str, type["AxisValue"]]]
    num_registrations: ClassVar[int] = 0  # of values, on all axes: a schema that was built before one lacks it
    shorthand: ClassVar[bool]
    needs: ClassVar[frozenset[Need]] = frozenset()
    implementation: ClassVar[tuple[str, ...]] = ()

    kind: str

    def __init_subclass__(cls, *, axis: str | None = None, shorthand: bool = False) -> None:
        """Open an axis, or register a value on one.

        `shorthand`: in YAML `initial: real` stands for `initial: {kind: real}`, where a kind has no other knobs.
        Raises: TypeError for a second value of one kind, a kind that is no Literal, or a value that does not state its
        `implementation`: what it runs would count in no job's code (`implementation = ()` says that it runs nothing).
        """
        super().__init_subclass__()
        if axis is not None:
            cls.axis, cls.registry, cls.shorthand = axis, {}, shorthand
            AXES[axis] = cls
            return
        own = get_annotations(cls)
        if "kind" not in own:  # what several values share
            return
        kinds, place = get_args(own["kind"]), f"{cls.__module__}.{cls.__qualname__}"
        if not kinds:
            raise TypeError(f"{place}: write its kind as a Literal, for example kind: Literal['mine']")
        if "implementation" not in cls.__dict__:
            raise TypeError(f"{place}: state its implementation, the modules that it runs (or an empty tuple)")
        for kind in kinds:
            other = cls.registry.setdefault(kind, cls)
            there = f"{other.__module__}.{other.__qualname__}"
            if there != place:
                raise TypeError(f"{cls.axis}: the kind {kind} of {place} is taken by {there}; choose another kind")
            cls.registry[kind] = cls
        AxisValue.num_registrations += 1

    @classmethod
    def __get_pydantic_core_schema__(cls, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """The schema of a value, or for an axis that of any of its values."""
        if AXES.get(cls.axis) is not cls:
            return handler(source)
        load_values()
        schemas = {kind: handler.generate_schema(value) for kind, value in sorted(cls.registry.items())}
        union = core_schema.tagged_union_schema(schemas, "kind")
        return core_schema.no_info_before_validator_function(cls._expand_shorthand, union)

    @classmethod
    def _expand_shorthand(cls, value: object) -> object:
        """The mapping that a kind in short stands for. Raises: ValueError where it needs values of its own."""
        if not isinstance(value, str):
            return value
        known = cls.registry.get(value)
        knobs = [name for name in descriptions(known) if name != "kind"] if known else []
        if known and (knobs or not cls.shorthand):
            need = f"{value} needs values" if knobs else f"{value} cannot be written in short form here"
            raise ValueError(f"{need}; write {{{', '.join([f'kind: {value}', *(f'{name}: ...' for name in knobs)])}}}")
        return {"kind": value}

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The exported schema, with the axis's description; a shorthand is any kind that has no knobs."""
        found = handler(core)
        if AXES.get(cls.axis) is not cls:
            return found
        if cls.shorthand:
            bare = sorted(kind for kind, value in cls.registry.items() if not set(value.__annotations__) - {"kind"})
            found = {"anyOf": [{"enum": bare}, found]}
        return {**found, "description": first_line(cls)}

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """By kind, what the laws try; every kind has one."""
        raise NotImplementedError(f"{cls.__name__} has no example")

    def rehearsal_substitute(self) -> "AxisValue":
        """The value to rehearse with: one that takes as long, on inputs that are only noise."""
        return self

    @property
    def inner_step_fractions(self) -> tuple[str, ...]:
        """Shares of the inner steps that it names, such as 1/3."""
        return ()


AXES: dict[str, type[AxisValue]] = {}


def first_line(documented: type) -> str:
    """The first line of a class's docstring: its description."""
    return (documented.__doc__ or "").strip().partition("\n")[0]


def descriptions(section: type) -> Mapping[str, str]:
    """What each knob of one class is: its own description, the value's for `kind`, the first line of a part's class."""
    if not is_pydantic_dataclass(section):
        return {}
    found = {}
    for name, knob in section.__pydantic_fields__.items():
        text = first_line(section) if name == "kind" else knob.description
        parts = (knob.annotation, *get_args(knob.annotation))
        of_part = (first_line(part) for part in parts if isinstance(part, type) and has_knobs(part))
        found[name] = text or next(of_part, "")
    return found


def has_knobs(annotation: type) -> bool:
    """Whether a knob's type has knobs itself: an axis, or a mapping of a fixed form."""
    return is_pydantic_dataclass(annotation) or issubclass(annotation, AxisValue)


@cache
def load_values() -> None:
    """Import every module that registers values or networks, here and in other packages."""
    for path in sorted(path for end in REGISTERING for path in SOURCE.rglob(f"*{end}.py")):
        import_module(".".join(("dcpipe", *path.relative_to(SOURCE).with_suffix("").parts)))
    if plugins.load_plugins():
        _refuse_undescribed()


def _refuse_undescribed() -> None:
    """Values of other packages say what their knobs are, as those here do. Raises: UserError naming module and knob."""
    for value in sorted({value for axis in AXES.values() for value in axis.registry.values()}, key=str):
        place = f"{value.__module__}.{value.__qualname__}"
        if place.startswith("dcpipe."):
            continue
        if not is_pydantic_dataclass(value):
            remedy = "write @dataclass(frozen=True, kw_only=True, config=STRICT) above it, as CONTRIBUTING.md shows"
            raise UserError("is not a pydantic dataclass", where=place, remedy=remedy)
        for knob, text in descriptions(value).items():
            if not text:
                of_class, of_knob = "write a docstring of the class", f'write {knob}: TYPE = Field(description="...")'
                remedy = of_class if knob == "kind" else of_knob
                raise UserError("this knob has no description", where=f"{place}.{knob}", remedy=remedy)


def is_config(module: str) -> bool:
    """Whether a module holds knobs and no arithmetic."""
    return module.endswith(SUFFIX)


Section = TypeVar("Section", bound="DataclassInstance")


def axis_values_in(section: "DataclassInstance", prefix: str = "") -> Iterator[tuple[str, AxisValue]]:
    """Every value in a typed section with its dotted key, outer ones before those inside them."""
    for each in fields(section):
        inner, key = getattr(section, each.name), f"{prefix}{each.name}"
        if isinstance(inner, AxisValue):
            yield key, inner
        if is_dataclass(inner) and not isinstance(inner, type):
            yield from axis_values_in(inner, f"{key}.")


def rehearsal_section(section: Section) -> Section:
    """The section with every value as it is rehearsed."""
    changes: dict[str, object] = {}
    for each in fields(section):
        inner = getattr(section, each.name)
        if is_dataclass(inner) and not isinstance(inner, type):
            changed = rehearsal_section(inner)
            changes[each.name] = changed.rehearsal_substitute() if isinstance(changed, AxisValue) else changed
    return replace(section, **changes)


def implementation_modules(section: "DataclassInstance") -> tuple[str, ...]:
    """The modules that the values of a section are implemented by, each once."""
    return tuple(dict.fromkeys(name for _, value in axis_values_in(section) for name in value.implementation))
