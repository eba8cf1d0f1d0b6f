"""A job: one stage with its wildcards, and everything both engines need to know of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dcpipe.params.strict_yaml import Value
from dcpipe.workflow.stages import STAGES, Resources

Section = TypeVar("Section")
ParamValues = Mapping[str, Mapping[str, Value]]


@dataclass(frozen=True, slots=True)
class Job:
    """One job of the graph.

    `inputs` and `outputs` map names to paths relative to the root; `params` maps files to the keys and values
    that can alter its bytes (code identity included); `neutral` to those that are stated and mean "as before", which
    only DVC lists; `implementation` is the module whose `run` makes it, one of the `modules` it reaches; `sections` are
    the typed params that it receives.
    """

    stage: str
    wildcards: Mapping[str, str]
    inputs: Mapping[str, tuple[str, ...]]
    outputs: Mapping[str, str]
    params: ParamValues
    command: str
    resources: Resources
    implementation: str
    modules: tuple[str, ...] = ()
    sections: Mapping[str, object] = field(default_factory=dict, compare=False)
    neutral: ParamValues = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A name that DVC accepts for a stage, for example `distill_digits_mtt_ipc1_set0`."""
        return STAGES[self.stage].label.format(**self.wildcards)

    @property
    def folder(self) -> Path:
        """The folder that holds the payloads and the card."""
        return Path(next(iter(self.outputs.values()))).parent

    @property
    def log(self) -> str:
        """Where the stage writes its log."""
        return STAGES[self.stage].log.format(**self.wildcards)

    @property
    def costs_path(self) -> str:
        """Where the stage notes what it cost."""
        return STAGES[self.stage].costs_path.format(**self.wildcards)

    @property
    def is_view(self) -> bool:
        """Whether it only shows artifacts: views are outside DVC and every digest."""
        return STAGES[self.stage].is_view

    @property
    def is_machine_dependent(self) -> bool:
        """Whether its bits depend on the machine."""
        return STAGES[self.stage].numeric

    def section(self, name: str, kind: type[Section]) -> Section:
        """A typed section of the job's params.

        Raises: TypeError if the stage's plan put something else there.
        """
        section = self.sections.get(name)
        if not isinstance(section, kind):
            raise TypeError(f"the section {name} of {self.name} is {type(section).__name__}, not {kind.__name__}")
        return section

    def input(self, name: str) -> str:
        """The one path of an input."""
        (path,) = self.inputs[name]
        return path
