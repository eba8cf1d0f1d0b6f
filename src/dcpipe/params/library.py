"""The params files of a repository, read once each: resolved values together with their typed section."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic

from dcpipe.params import neutral, resolve, schema
from dcpipe.params.application import Application
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method
from dcpipe.params.params_files import InlineSections
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.schema import Section


@dataclass
class _SectionCache(Generic[Section]):
    """The files of one section that were read, each with its typed section, by name and context."""

    section: str
    kind: type[Section]
    read: dict[tuple[str, tuple[str, ...]], tuple[ResolvedSection, Section]] = field(default_factory=dict)

    def get(
        self, root: Path, extra: InlineSections, name: str, context: tuple[str, ...] = ()
    ) -> tuple[ResolvedSection, Section]:
        key = (name, context)
        if key not in self.read:
            later = neutral.optional_knobs(self.kind)
            resolved = resolve.resolve_section(root, self.section, name, context=context, extra=extra, later=later)
            checked = schema.validate(resolved, self.kind)
            self.read[key] = (neutral.with_neutral_values(resolved, checked), checked)
        return self.read[key]

    @property
    def files(self) -> set[str]:
        return {file for resolved, _ in self.read.values() for file in resolved.files}


@dataclass
class ParamsLibrary:
    """Reads params below a root, and those in `extra`. Make a new one to see an edit."""

    root: Path
    extra: InlineSections = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._datasets = _SectionCache("datasets", Dataset)
        self._experts = _SectionCache("experts", Experts)
        self._methods = _SectionCache("methods", Method)
        self._evaluations = _SectionCache("evaluations", Evaluation)
        self._applications = _SectionCache("applications", Application)
        self._experiments = _SectionCache("experiments", Experiment)
        self._chains: dict[str, tuple[str, ...]] = {}

    def dataset(self, name: str) -> tuple[ResolvedSection, Dataset]:
        """A dataset."""
        return self._datasets.get(self.root, self.extra, name)

    def experts(self, name: str, dataset: str) -> tuple[ResolvedSection, Experts]:
        """An experts file as resolved for a dataset."""
        return self._experts.get(self.root, self.extra, name, self._applying_override_keys(dataset))

    def method(self, name: str, dataset: str, ipc: int) -> tuple[ResolvedSection, Method]:
        """A preset as resolved for a dataset and ipc."""
        return self._methods.get(self.root, self.extra, name, self._applying_override_keys(dataset, ipc))

    def evaluation(self, name: str, dataset: str, ipc: int) -> tuple[ResolvedSection, Evaluation]:
        """A protocol as resolved for a dataset and ipc."""
        return self._evaluations.get(self.root, self.extra, name, self._applying_override_keys(dataset, ipc))

    def application(self, name: str, dataset: str) -> tuple[ResolvedSection, Application]:
        """An application as resolved for a dataset."""
        return self._applications.get(self.root, self.extra, name, self._applying_override_keys(dataset))

    def experiment(self, name: str) -> tuple[ResolvedSection, Experiment]:
        """An experiment."""
        return self._experiments.get(self.root, self.extra, name)

    @property
    def files(self) -> set[str]:
        """Every params file read so far."""
        sections = (
            self._datasets,
            self._experts,
            self._methods,
            self._evaluations,
            self._applications,
            self._experiments,
        )
        return {file for section in sections for file in section.files}

    def _applying_override_keys(self, dataset: str, ipc: int | None = None) -> tuple[str, ...]:
        """The override keys that apply, general to special: first those of a variant's base, then its own."""
        if dataset not in self._chains:
            self._chains[dataset] = resolve.base_chain(self.root, "datasets", dataset, self.extra)
        chain = self._chains[dataset]
        return tuple(part for name in chain for part in ((name,) if ipc is None else (name, f"{name}.ipc{ipc}")))
