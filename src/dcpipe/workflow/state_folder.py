"""Where the state of jobs and their locks are. Loads no torch."""

import os
from pathlib import Path

from dcpipe.workflow.job import Job


def state_root(root: Path) -> Path:
    """Where state is kept: DCPIPE_STATE, or `state/` below the root."""
    return Path(os.environ.get("DCPIPE_STATE") or root / "state")


def lock_file(job: Job, root: Path) -> Path:
    """The file that a process locks while it works on the job."""
    return state_root(root) / "locks" / f"{job.name}.lock"
