"""Changes of code that altered no byte: for which kinds of jobs this was tried, and what was seen.

A kind of job runs a set of modules; its *code* is one digest for each of them and the pinned versions. A record says
that a kind's code as it is now makes the same bytes as an older code did, which its results were recorded with. Then
the job keeps the older code as its identity, and neither engine sees a change. The rule:

- A record holds for exactly one code: if any module that the kind runs changes again, the record does not apply. The
  next record is made against the oldest identity again, so that records need no chains: one look-up answers.
- A module that is new in the code (`old` is null) is not part of the identity while the record holds; one that is gone
  (`new` is null) remains part of it, with its last digest. So it is where a kind begins or ceases to run a module.
- The identity file has one digest per module: the oldest (`modules`). A kind that was not tried runs the new digest,
  and says so by a key of its own (`besides.<module>.<digest>`): its results are stale, as they should be.

Records are read from what this version of dcpipe was released with, then from the project.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import yaml
from pydantic import TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from dcpipe.errors import UserError
from dcpipe.params import formats
from dcpipe.params.schema import STRICT
from dcpipe.params.strict_yaml import read_yaml

FILE = "equivalences.yaml"
RELEASED = Path(__file__).with_name("released_equivalences.yaml")
FORMAT: Literal[1] = 1
PINS = "pins"
Code = Mapping[str, str]
"""Digests by module, without the name of the package, and the pinned versions as `pins`."""


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Change:
    """A module's digest before and after; null where the code does not run it."""

    old: str | None
    new: str | None


@dataclass(frozen=True, kw_only=True, config=STRICT)
class ModuleChange(Change):
    """The digest that the identity file keeps for a module that has another one now."""

    module: str


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Evidence:
    """What was seen: `payloads` is one digest of all files that old and new code made, byte for byte the same."""

    tried: str  # one job of the kind
    commit: str  # of the old code
    length: str  # "whole", or how many steps
    inputs: Literal["artifacts", "noise"]
    files: int
    bytes: int
    payloads: str
    machine: dict[str, str]  # the class of software and hardware


@dataclass(frozen=True, kw_only=True, config=STRICT)
class EquivalentKind:
    """A kind of job whose code, of that digest, makes the bytes that the older code made."""

    code: str
    changed: dict[str, Change]
    evidence: list[Evidence]


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Equivalences:
    """All that is known, in the order in which it was recorded."""

    format: Literal[1]
    modules: list[ModuleChange]
    kinds: list[EquivalentKind]

    def merged_with(self, other: "Equivalences") -> "Equivalences":
        """Both, `other` last; what is known already is not repeated."""
        modules = self.modules + [one for one in other.modules if one not in self.modules]
        known = {kind.code for kind in self.kinds}
        kinds = self.kinds + [one for one in other.kinds if one.code not in known]
        return Equivalences(format=FORMAT, modules=modules, kinds=kinds)

    def oldest(self, running: Code) -> dict[str, str]:
        """The identity of a kind that runs this code: the older code if there is a record of it, else this one."""
        wanted, found = code_digest(running), dict(running)
        for name, change in next((one.changed for one in self.kinds if one.code == wanted), {}).items():
            if change.old is None:
                found.pop(name, None)
            else:
                found[name] = change.old
        return found

    def equivalent_codes(self, oldest: Code) -> list[Code]:
        """All code that is known to make the bytes of this oldest code, that one first."""
        found = [oldest]
        for kind in self.kinds:
            if all(oldest.get(name) == change.old for name, change in kind.changed.items()):
                newer = {**oldest, **{name: change.new for name, change in kind.changed.items()}}
                found.append({name: value for name, value in newer.items() if value is not None})
        return found

    def identity_file_digests(self, running: Code) -> dict[str, str]:
        """The digest that the identity file has for each module, where this is the whole code now."""
        found = dict(running)
        for one in reversed(self.modules):  # the first that was recorded is said last
            if one.old is not None and running.get(one.module) == one.new:
                found[one.module] = one.old
        return found

    def additional_digests(self, running: Code) -> set[tuple[str, str]]:
        """Modules and digests that some identity names and the identity file does not keep as the module's own."""
        wanted = set(running.items())
        for kind in self.kinds:
            if all(running.get(name) == change.new for name, change in kind.changed.items()):
                wanted |= {(name, change.old) for name, change in kind.changed.items() if change.old is not None}
        return wanted - set(self.identity_file_digests(running).items())


NONE = Equivalences(format=FORMAT, modules=[], kinds=[])


def code_digest(code: Code) -> str:
    """A short SHA-256 of a code. It starts with a letter, so that no YAML reader takes it for a number."""
    return "h" + hashlib.sha256(json.dumps(sorted(code.items())).encode()).hexdigest()[:23]


def read_equivalences(root: Path) -> Equivalences:
    """What this version of dcpipe brings along, then what the project recorded.

    Raises: UserError if a file is not readable, or was written by a newer version.
    """
    return _read_file(RELEASED).merged_with(_read_file(root / FILE))


def recorded_equivalences(root: Path) -> Equivalences:
    """What the project recorded."""
    return _read_file(root / FILE)


def _read_file(path: Path) -> Equivalences:
    if not path.is_file():
        return NONE
    tree = read_yaml(path)
    formats.checked_format(tree.get("format"), newest=FORMAT, where=str(path))
    try:
        return TypeAdapter(Equivalences).validate_json(json.dumps(tree))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        remedy = "restore it with `git checkout`, or remove it: then results are stale where code changed"
        raise UserError(f"{key}: {first['msg']}", where=str(path), remedy=remedy) from error


def write_equivalences(root: Path, records: Equivalences) -> None:
    """Write the project's records, whole or not at all."""
    from dcpipe.provenance.durable import write_atomically

    head = "# Code that makes the same bytes as older code: written by `dcpipe equivalent`, not by hand.\n"
    tree = TypeAdapter(Equivalences).dump_python(records)
    text = yaml.safe_dump(tree, sort_keys=False, default_flow_style=False, width=120)
    write_atomically(root / FILE, (head + text).encode())
