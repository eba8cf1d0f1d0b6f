"""The params files of a repository, read once each: resolved values together with their typed section."""

from dataclasses import dataclass, field
from pathlib import Path

from dcpipe.params import neutral, resolve, schema
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method
from dcpipe.params.resolve import Extra, Resolved

_Key = tuple[str, str, tuple[str, ...]]


@dataclass
class Library:
    """Reads params below a root, and in `extra` what stands beside them. Make a new one to see an edit."""

    root: Path
    extra: Extra = field(default_factory=dict)
    _read: dict[_Key, tuple[Resolved, object]] = field(default_factory=dict)
    _chains: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def dataset(self, name: str) -> tuple[Resolved, Dataset]:
        """A dataset."""
        return self._section("datasets", name, (), Dataset)

    def experts(self, name: str, dataset: str) -> tuple[Resolved, Experts]:
        """An experts file as resolved for a dataset."""
        return self._section("experts", name, self._context(dataset), Experts)

    def method(self, name: str, dataset: str, ipc: int) -> tuple[Resolved, Method]:
        """A preset as resolved for a dataset and ipc."""
        return self._section("methods", name, self._context(dataset, ipc), Method)

    def evaluation(self, name: str, dataset: str, ipc: int) -> tuple[Resolved, Evaluation]:
        """A protocol as resolved for a dataset and ipc."""
        return self._section("evaluations", name, self._context(dataset, ipc), Evaluation)

    def experiment(self, name: str) -> tuple[Resolved, Experiment]:
        """An experiment."""
        return self._section("experiments", name, (), Experiment)

    @property
    def files(self) -> set[str]:
        """Every params file read so far."""
        return {file for resolved, _ in self._read.values() for file in resolved.files}

    def _context(self, dataset: str, ipc: int | None = None) -> tuple[str, ...]:
        """The override keys that apply, general to special: a variant takes its base's, then its own."""
        if dataset not in self._chains:
            self._chains[dataset] = resolve.lineage(self.root, "datasets", dataset, self.extra)
        chain = self._chains[dataset]
        return tuple(part for name in chain for part in ((name,) if ipc is None else (name, f"{name}.ipc{ipc}")))

    def _section(
        self, section: str, name: str, context: tuple[str, ...], kind: type[schema.Section]
    ) -> tuple[Resolved, schema.Section]:
        key = (section, name, context)
        if key not in self._read:
            later = neutral.later(kind)
            resolved = resolve.resolve(self.root, section, name, context=context, extra=self.extra, later=later)
            checked = schema.validate(resolved, kind)
            self._read[key] = (neutral.completed(resolved, checked), checked)
        resolved, typed = self._read[key]
        assert isinstance(typed, kind)  # noqa: S101 (the key names the kind)
        return resolved, typed
