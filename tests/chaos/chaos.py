"""`make chaos`: hurt everything that can be hurt, for half an hour, and count what survived.

    python tests/chaos/chaos.py                          30 minutes
    python tests/chaos/chaos.py --minutes 2              each kind a little
    python tests/chaos/chaos.py --only rot --seed 7      one kind, with other random numbers
    python tests/chaos/chaos.py --plant size             with a fault in the code, which must be found
    python tests/chaos/chaos.py --engines                Snakemake and DVC too, in clones (a minute a trial)

Prints one line per kind: how many trials, and how many survived, lost something, or were wrong in silence. What was
lost or silent is printed with its trial. Exit code 1 if anything was.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import bench as benches
import hurt_engines
import hurt_files
import hurt_processes
import hurt_words
import pytest
from bench import Bench, Kind, Trial

from dcpipe.provenance import artifact, durable
from dcpipe.workflow import stopping

KINDS: dict[str, tuple[Kind, float]] = {  # and its share of the time
    "kill -9 of a job": (hurt_processes.kills, 3),
    "SIGTERM, SIGINT, SIGHUP": (hurt_processes.signals, 3),
    "kill -9 of dcpipe run": (hurt_processes.runs, 3),
    "two processes on one job": (hurt_processes.pairs, 2),
    "power cut while publishing": (hurt_processes.power_cuts, 1),
    "full disk": (hurt_files.full_disks, 3),
    "rot of artifacts": (hurt_files.rot, 4),
    "rot of states, costs, logs": (hurt_files.small_files, 2),
    "clocks and times of files": (hurt_files.clocks, 1),
    "permissions": (hurt_files.permissions, 2),
    "mutated params": (hurt_words.params, 4),
    "mutated command lines": (hurt_words.command_lines, 2),
    "hostile files": (hurt_words.hostile_files, 1),
}
ENGINES: dict[str, tuple[Kind, float]] = {
    "kill -9 of Snakemake": (hurt_engines.snakemake_kills, 10),
    "kill -9 of DVC": (hurt_engines.dvc_kills, 10),
}
FAULTS = ("fsync", "size", "signal")


@dataclass
class Row:
    """What became of one kind."""

    name: str
    trials: list[Trial] = field(default_factory=list)

    def count(self, state: str) -> int:
        """How many trials ended so."""
        return sum(trial.state == state for trial in self.trials)

    @property
    def line(self) -> str:
        """The row of the table."""
        counts = "".join(f"{self.count(state):>9}" for state in ("survived", "lost", "silent"))
        return f"{self.name:<28}{len(self.trials):>7}{counts}"


HEAD = f"{'kind':<28}{'tried':>7}{'survived':>9}{'lost':>9}{'silent':>9}"


def plant(fault: str, patch: pytest.MonkeyPatch) -> None:
    """Put a fault into the code of this process, and of all that it forks."""
    if fault == "fsync":
        patch.setattr(durable, "fsync_tree", lambda _: None)
    elif fault == "size":
        patch.setattr(artifact, "sha256", lambda path: next(iter(_stated(path)), ""))
    else:
        patch.setattr(stopping, "SIGNALS", (signal.SIGINT,))
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _stated(path: Path) -> list[str]:
    """The digest that a card states of a file, whatever is in it."""
    for folder in path.parents:
        if (folder / artifact.CARD).is_file():
            entries = artifact.card_entries(artifact.read_card(folder / "x"))
            return [entry.sha256 for entry in entries if folder / entry.path == path]
    return []


def hurt(bench: Bench, kinds: dict[str, tuple[Kind, float]], seconds: float, most: int | None = None) -> list[Row]:
    """Give each kind its share of the time; a kind that has tried everything leaves the rest to those after it."""
    rows, until = list[Row](), time.monotonic() + seconds
    for position, (name, (kind, share)) in enumerate(kinds.items()):
        left = sum(other for _, other in list(kinds.values())[position:])
        end = time.monotonic() + (until - time.monotonic()) * share / left
        row = Row(name)
        for trial in kind(bench):
            row.trials.append(trial)
            if trial.state != "survived":
                sys.stdout.write(f"{trial.state}: {name}: {trial.seen}\n")
            if time.monotonic() > end or len(row.trials) == most:
                break
        rows.append(row)
        sys.stdout.write(f"{row.line}\n")
        sys.stdout.flush()
    return rows


def main(words: Sequence[str]) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--only", default="", help="kinds whose name holds this")
    parser.add_argument("--plant", choices=FAULTS, help="a fault that must be found")
    parser.add_argument("--engines", action="store_true", help="Snakemake and DVC too")
    asked = parser.parse_args(words)
    benches.hear_signals()
    kinds = {name: kind for name, kind in (KINDS | (ENGINES if asked.engines else {})).items() if asked.only in name}
    with ExitStack() as stack:
        folder = Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="dcpipe-chaos-", ignore_cleanup_errors=True))
        )
        folder.chmod(0o755)
        (folder / "made").mkdir()
        made = benches.make_reference(folder / "made")
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        if asked.plant:
            plant(asked.plant, patch)
        sys.stdout.write(f"seed {asked.seed}\n{HEAD}\n")
        rows = hurt(Bench.prepared(made, folder, asked.seed), kinds, 60 * asked.minutes)
    bad = sum(row.count("lost") + row.count("silent") for row in rows)
    tried = sum(len(row.trials) for row in rows)
    sys.stdout.write(f"{tried} trials, {bad} lost or silent\n")
    return min(bad, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
