"""Every verb: each of these modules adds its own to the one `app` when it is imported, and loads no torch then."""

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
from dcpipe.cli.app import ROOT, app, main

__all__ = [
    "ROOT",
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
