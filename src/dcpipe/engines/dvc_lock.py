"""dvc.lock files: read and written in one way, whichever engine ran.

Jobs of one composition have the same params. YAML writes such a value once, at an anchor, and refers to it elsewhere: a
third of the text, which is in git, and which DVC parses again for every job that it runs.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from dcpipe.errors import UserError
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.job import Job

# libyaml's reader and writer where PyYAML has them: ten times as fast, and a dvc.lock has many lines
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Dumper(DUMPER):  # type: ignore[misc, valid-type]
    """Floats as DVC writes them: 1e-05, not 1.0e-05."""


def _float(dumper: Any, value: float) -> Any:
    text = repr(value)
    kind = "float" if "." in text else "str"  # without a dot PyYAML takes it for text, and leaves it unquoted as such
    return dumper.represent_scalar(f"tag:yaml.org,2002:{kind}", text)


_Dumper.add_representer(float, _float)


def read_stages(path: Path) -> dict[str, Any]:
    """The stages of a dvc.yaml or dvc.lock by name; none if there is no file.

    Raises: UserError if it is neither.
    """
    if not path.is_file():
        return {}
    try:
        stages = (yaml.load(path.read_text(), Loader=LOADER) or {}).get("stages")  # noqa: S506 (a safe one)
        return dict(stages or {})
    except (yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        remedy = "restore it with `git checkout`, or remove it, then `dcpipe graph export` (dvc.lock: `dcpipe record`)"
        raise UserError(f"is not a {path.name}", where=str(path), remedy=remedy) from error


def current_stages(path: Path) -> dict[str, Any]:
    """The stages of a lock file that the dvc.yaml beside it still has: DVC itself keeps what was ever recorded."""
    named = read_stages(path.with_suffix(".yaml"))
    return {name: stage for name, stage in read_stages(path).items() if name in named}


def are_recorded(root: Path, files: Iterable[str], jobs: Iterable[Job]) -> bool:
    """Whether the lock files beside these dvc.yaml hold every job, with its command and with the card that is there.

    A card states params, code, inputs and the digest of every file, so that its own bytes stand for all of them.
    """
    recorded = dict[str, Mapping[str, object]]()
    for file in files:
        recorded.update(read_stages((root / file).with_suffix(".lock")))
    return all(_is_recorded(root, recorded.get(job.name, {}), job) for job in jobs)


def _is_recorded(root: Path, entry: Mapping[str, object], job: Job) -> bool:
    card, outs = root / job.outputs["card"], entry.get("outs")
    if entry.get("cmd") != job.command or not isinstance(outs, list) or not card.is_file():
        return False
    digest = hashlib.md5(card.read_bytes(), usedforsecurity=False).hexdigest()
    return any(out.get("path") == job.outputs["card"] and out.get("md5") == digest for out in outs)


def write_lock(path: Path, stages: Mapping[str, Any]) -> None:
    """Write the stages in the order of their names, if that changes the file."""
    shared = SharedValues()
    tree = {"schema": "2.0", "stages": {name: shared.share_params(_plain(stages[name])) for name in sorted(stages)}}
    text = _text(tree)
    if not path.is_file() or path.read_text() != text:
        write_atomically(path, text.encode())


def dump(path: str, tree: Mapping[str, object]) -> None:
    """Write a file of DVC on this machine."""
    Path(path).write_text(_text(_plain(tree)))


def _text(tree: Mapping[str, object]) -> str:
    return str(yaml.dump(tree, Dumper=_Dumper, sort_keys=False, width=1000))


def add_params(path: Path, values: Mapping[str, Mapping[str, Mapping[str, object]]]) -> bool:
    """Give stages the values of params (by stage, file and key) that they do not have yet; whether that changes any."""
    stages, changed = read_stages(path) if values else {}, False
    for name in stages.keys() & values.keys():
        for file, own in values[name].items():
            there = stages[name].setdefault("params", {}).setdefault(file, {})
            changed = changed or not own.keys() <= there.keys()
            stages[name]["params"][file] = dict(sorted({**own, **there}.items()))
        stages[name]["params"] = dict(sorted(stages[name]["params"].items()))
    if changed:
        write_lock(path, stages)
    return changed


class SharedValues:
    """Gives equal values as one object, which YAML then writes once."""

    def __init__(self) -> None:
        self._known = dict[str, object]()

    def share_params(self, stage: Mapping[str, object]) -> dict[str, object]:
        """A stage of a dvc.yaml or dvc.lock whose params are shared: as a whole, and file by file."""
        return {
            key: self._share(self._share_parts(value)) if key == "params" else value for key, value in stage.items()
        }

    def _share_parts(self, params: object) -> object:
        if isinstance(params, dict):
            return {file: self._share(values) for file, values in params.items()}
        return [self._share(entry) for entry in params] if isinstance(params, list) else params

    def _share(self, value: object) -> object:
        """The first value that was equal to this one."""
        return self._known.setdefault(json.dumps(value), value)


def _plain(value: Any) -> Any:
    """Ordered mappings as plain ones, at any depth."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value
