"""The command line: one verb a stage, and one a question. Thin: load, call, write.

Each module adds its verbs to the one `app` when it is imported; nothing here loads torch before a verb runs.
"""

from dcpipe.cli import experiments, history, projects, questions, recording, releases, stage_verbs, surroundings
from dcpipe.cli.app import app, main

__all__ = [
    "app",
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
