"""After a kill: what a dead run left locked is taken over, with a line each. Nothing of a living process is touched."""

import time
from collections.abc import Callable
from pathlib import Path

import psutil

from dcpipe.engines import dvc_private, run_owner, snakemake_private
from dcpipe.engines.run_owner import RunOwner
from dcpipe.errors import UserError

WAIT_SECONDS = 120.0

Say = Callable[[str], None]


def clean_up_dead_runs(root: Path, experiment: str, say: Say) -> None:
    """Settle what runs that were killed left behind in a folder.

    Raises: UserError if another process runs this experiment here, or what a killed run started does not end.
    """
    owners = run_owner.other_owners(root)
    states = {owner: owner.state() for owner in owners}
    dead = [owner for owner in owners if states[owner] == "dead"]
    others = [owner for owner in owners if states[owner] != "dead"]
    for owner in others:
        if owner.experiment == experiment:
            raise _busy_error(owner, is_elsewhere=states[owner] == "elsewhere")
    for owner in dead:
        _wait_for_orphans(owner, say)
    locks = stale_snakemake_locks(root, others) if dead else []
    if locks:
        say(f"took over Snakemake's lock of {_processes_text(dead)}, which is dead")
        snakemake_private.remove_locks(locks)
    if all(state != "elsewhere" for state in states.values()):
        for line in dvc_private.remove_stale_locks(root):
            say(line)
    for owner in dead:
        run_owner.unregister(root, owner)


def stale_snakemake_locks(root: Path, others: list[RunOwner]) -> list[Path]:
    """Snakemake's lock files that are older than every run that is not known to be dead."""
    first = min((owner.started for owner in others), default=float("inf"))
    return [lock for lock in snakemake_private.lock_files(root) if lock.stat().st_mtime < first]


def _busy_error(owner: RunOwner, *, is_elsewhere: bool) -> UserError:
    if is_elsewhere:
        remedy = f"wait until it has ended; if it was killed: `rm {owner.file}; snakemake --unlock`"
        return UserError(f"process {owner.pid} on {owner.host} runs {owner.experiment} in this folder", remedy=remedy)
    problem = f"process {owner.pid} (`{owner.command}`) runs {owner.experiment} in this folder"
    return UserError(problem, remedy="wait until it has ended, or end it")


def _wait_for_orphans(owner: RunOwner, say: Say) -> None:
    """Jobs of a killed engine save their state and leave by themselves; see `engine_watch`."""
    left = run_owner.orphaned_processes(owner)
    if not left:
        return
    owner_text = _processes_text([owner])
    say(f"{owner_text} was killed; waiting until its {len(left)} processes have saved their state and ended")
    deadline = time.monotonic() + WAIT_SECONDS
    while left and time.monotonic() < deadline:
        psutil.wait_procs(left, timeout=1.0)
        left = run_owner.orphaned_processes(owner)
    if left:
        problem = f"process {left[0].pid}, which a killed run started, is still at work"
        raise UserError(problem, remedy=f"wait until it has ended, or `kill {left[0].pid}`; then start again")


def _processes_text(owners: list[RunOwner]) -> str:
    numbers = ", ".join(str(owner.pid) for owner in owners)
    return f"process {numbers}" if len(owners) == 1 else f"processes {numbers}"
