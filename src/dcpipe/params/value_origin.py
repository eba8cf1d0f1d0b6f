"""A value, where it stands in a params file, and what it is taken from."""

from dataclasses import dataclass, field

from dcpipe.params.strict_yaml import Value

DEFAULT = "default"  # the origin of what no file states


@dataclass(frozen=True, slots=True)
class ValueOrigin:
    """Where a value stands.

    `file` (params/<section>/<name>.yaml) and `key` are its identity: section, name and dotted key. `place` is what a
    person opens, if the file of that name is another: an experiment may bring along what would be several files.
    """

    file: str
    key: str
    place: str = field(default="", compare=False)

    def __str__(self) -> str:
        return self.place or f"{self.file}: {self.key}"


@dataclass(frozen=True, slots=True)
class ResolvedValue:
    """One resolved value, where it stands and what it is taken from."""

    value: Value
    origin: ValueOrigin
    source: str | None


def location_text(place: str, key: str) -> str:
    """A key of a file, or of a part of one."""
    return f"{place}.{key}" if ": " in place else f"{place}: {key}"
