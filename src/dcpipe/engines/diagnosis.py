"""`dcpipe doctor`: every check of the machine and the folder, in one line each."""

import platform
import sys
from collections.abc import Iterable, Iterator
from importlib import metadata

from dcpipe.engines import preflight, run_owner, snakemake_private, takeover
from dcpipe.engines.preflight import Finding
from dcpipe.engines.run_owner import RunOwner
from dcpipe.workflow.graph import Graph


def findings(graph: Graph, experiment: str) -> Iterator[Finding]:
    """What every check finds: those before a run, and what a run does not ask about."""
    yield Finding("Python", f"{platform.python_version()} ({sys.executable})")
    yield Finding("torch", metadata.version("torch"))
    yield _device()
    yield from preflight.findings(graph, experiment)
    yield from _runs(graph)


def format_findings(findings: Iterable[Finding]) -> list[str]:
    """A table for a terminal: `ok`, or `to do` with what to do."""
    return [
        f"{'to do' if one.remedy else 'ok':<7}{one.subject:<16}{one.seen}{f'; {one.remedy}' if one.remedy else ''}"
        for one in findings
    ]


def _device() -> Finding:
    import torch

    count = torch.cuda.device_count()
    names = ", ".join(torch.cuda.get_device_name(index) for index in range(count))
    return Finding("devices", names or f"the CPU, {torch.get_num_threads()} threads; `dcpipe gpu-check` tries a GPU")


def _runs(graph: Graph) -> Iterator[Finding]:
    owners = run_owner.other_owners(graph.root)
    for owner in owners:
        yield Finding("runs", f"process {owner.pid} on {owner.host}, `{owner.command}`: {_state(owner)}")
    alive = [owner for owner in owners if owner.state() != "dead"]
    locks = snakemake_private.lock_files(graph.root)
    if locks and not owners:
        yield Finding(
            "locks", "Snakemake's lock exists, and no known run holds it", "if no snakemake runs: `snakemake --unlock`"
        )
    elif takeover.stale_snakemake_locks(graph.root, alive):
        yield Finding("locks", "Snakemake's lock is that of a dead process; the next run takes it over")
    elif not owners:
        yield Finding("locks", "none")


def _state(owner: RunOwner) -> str:
    states = {"alive": "at work", "dead": "was killed; start the same command again"}
    return states.get(owner.state(), "it runs on another machine, which cannot be checked from here")
