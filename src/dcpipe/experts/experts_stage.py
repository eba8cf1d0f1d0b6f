"""The experts stage: one shard of experts, trained or taken from published files."""

from dcpipe.params.experts import Experts
from dcpipe.workflow.task import Task


def run(task: Task) -> None:
    """Make the shard's trajectory store."""
    task.section("experts", Experts).origin.build()(task)
