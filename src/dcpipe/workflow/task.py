"""What a stage is given: its job, verified inputs, places for its outputs, and its resume state."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from dcpipe.provenance import artifact
from dcpipe.provenance.artifact import Draft
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.job import Job

Section = TypeVar("Section")


@dataclass(slots=True)
class Task:
    """One run of a job."""

    job: Job
    root: Path
    draft: Draft
    state: ResumeState
    facts: dict[str, object] = field(default_factory=dict)  # what the stage wants its card to say

    def inputs(self, name: str) -> list[Path]:
        """The paths of an input, each compared with its card.

        Raises: CorruptArtifactError, UserError.
        """
        return [artifact.verify_payload(self.root / path) for path in self.job.inputs[name]]

    def input(self, name: str) -> Path:
        """The one path of an input, compared with its card."""
        (path,) = self.inputs(name)
        return path

    def output(self, name: str) -> Path:
        """Where to write an output now; it gets its own name when all are finished."""
        return self.draft.path(Path(self.job.outputs[name]).name)

    def section(self, name: str, kind: type[Section]) -> Section:
        """A typed section of the job's params. Raises: TypeError if the stage's plan put something else there."""
        return self.job.section(name, kind)
