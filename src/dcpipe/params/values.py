"""The values that can alter a job, by section, name and key: what both engines watch.

A value that means "as before the knob existed" alters nothing: it is in no card and no identity. Only DVC lists it,
where a file states it, because DVC does not see a change of a key that it did not list before.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.strict_yaml import Value
from dcpipe.params.value_origin import DEFAULT


@dataclass(frozen=True, slots=True)
class Neutral:
    """A value that a file states and that means "as before"."""

    value: Value


Values = dict[str, dict[str, Value | Neutral]]
Plain = dict[str, dict[str, Value]]


def native_network_values(dataset: ResolvedSection, network: str) -> Values:
    """The dataset's own network matters only to a job that says `native`."""
    return tracked_values(dataset, only=("network",)) if network == "native" else {}


def tracked_values(
    resolved: ResolvedSection, *, only: tuple[str, ...] | None = None, without: tuple[str, ...] = ()
) -> Values:
    """The values of a section, by the file (params/<section>/<name>.yaml) and key that are their identity."""
    values_by_file: Values = {}
    for key, leaf in resolved.leaves.items():
        head = key.split(".")[0]
        if head not in without and (only is None or head in only) and leaf.origin.file != DEFAULT:
            value = Neutral(leaf.value) if key in resolved.neutral else leaf.value
            values_by_file.setdefault(leaf.origin.file, {})[leaf.origin.key] = value
    for link in resolved.bases if only is None else ():
        values_by_file.setdefault(link.origin.file, {})[link.origin.key] = link.value
    return values_by_file


def merge_values(parts: Iterable[Values]) -> Plain:
    """All of them in one, files and keys sorted; without those that mean "as before"."""
    return _group_by_file(
        (file, key, value) for file, key, value in _iterate_values(parts) if not isinstance(value, Neutral)
    )


def neutral_values(parts: Iterable[Values]) -> Plain:
    """Only those that mean "as before", files and keys sorted."""
    return _group_by_file(
        (file, key, value.value) for file, key, value in _iterate_values(parts) if isinstance(value, Neutral)
    )


def _iterate_values(parts: Iterable[Values]) -> Iterator[tuple[str, str, Value | Neutral]]:
    return ((file, key, value) for part in parts for file, values in part.items() for key, value in values.items())


def _group_by_file(rows: Iterable[tuple[str, str, Value]]) -> Plain:
    gathered: Plain = {}
    for file, key, value in rows:
        gathered.setdefault(file, {})[key] = value
    return {file: dict(sorted(values.items())) for file, values in sorted(gathered.items())}
