"""The command line: one verb a stage, and one a question. Thin: load, call, write.

The verbs stand in the modules that `dcpipe.cli.verbs` imports. Here is only where every process begins: a job of a run
is handed to a fork of the run's server where there is one, before anything that takes long is imported.
"""

<<<<<<< HEAD
import sys
from typing import NoReturn

from dcpipe.engines import fork_client


def main() -> NoReturn:
    """Run the command line, here or in a fork; errors become one line on standard error and an exit code."""
    fork_client.run_in_fork(sys.argv[1:])
    from dcpipe.cli import verbs

    verbs.main()
=======
from dcpipe.cli import (
    drawings,
    experiments,
    history,
    projects,
    questions,
    recording,
    releases,
    stage_verbs,
    surroundings,
)
from dcpipe.cli.app import app, main

__all__ = [
    "app",
    "drawings",
    "experiments",
    "history",
    "main",
    "projects",
    "questions",
    "recording",
    "releases",
    "stage_verbs",
    "surroundings",
]
>>>>>>> 69f198a (dcpipe paths: an expert, its convex path and students in the plane of principal components)
