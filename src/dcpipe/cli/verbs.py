"""Every verb: each of these modules adds its own to the one `app` when it is imported, and loads no torch then."""

from dcpipe.cli import (
    drawings,
    experiments,
    history,
    inspection,
    machine_setup,
    projects,
    recording,
    releases,
    stage_verbs,
)
from dcpipe.cli.app import ROOT, app, main

__all__ = [
    "ROOT",
    "app",
    "drawings",
    "experiments",
    "history",
    "inspection",
    "machine_setup",
    "main",
    "projects",
    "recording",
    "releases",
    "stage_verbs",
]
