"""What the pipeline costs beside the computing, with the goal of each: starts, questions, planning, recording.

    python benchmarks/pipeline.py [--quick] [--json FILE]

In clones of this repository: the jobs of `tiny` as a process each and as forks of one, in CPU seconds of everything
that a run starts, and whether both make the same bytes; questions about the default experiment; a dry run of Snakemake
beside one of an empty Snakefile; and recording 2,002 stand-in jobs (`--quick`: 102, without a goal). CPU seconds hardly
depend on what else the machine does, wall seconds do: the load is stated.
"""

import argparse
import ctypes
import hashlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
ADOPTS_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER
DEFAULT = ("--config", "experiment=digits", "--dry-run", "--quiet", "all")
EMPTY = "rule all:\n    input: []\n"
WARM = 2  # the first of so many calls writes caches and is not counted


@dataclass(frozen=True, slots=True)
class Row:
    """One figure; `goal` is the most it should be, where it has one."""

    name: str
    reached: float
    unit: str
    goal: float | None = None

    @property
    def line(self) -> str:
        """For a table."""
        goal = "" if self.goal is None else f"{self.goal:g}"
        verdict = "" if self.goal is None else "reached" if self.reached <= self.goal else "missed"
        return f"{self.name:<52}{self.reached:>10.2f} {self.unit:<6}{goal:>8}  {verdict}"


@dataclass(frozen=True, slots=True)
class Took:
    """What a command and everything that it started took."""

    cpu_s: float
    wall_s: float
    peak_mb: float


def took(root: Path, *command: str, **environment: str) -> Took:
    """Run a command of this interpreter's environment that must succeed, and wait for all that outlives it."""
    search = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": search, "PYTHONPATH": str(root / "src"), "OMP_NUM_THREADS": "1", **environment}
    kept = {name: value for name, value in os.environ.items() if not name.startswith("DCPIPE_")}
    before, started = os.times(), time.perf_counter()
    with tempfile.TemporaryFile() as said:
        child = subprocess.Popen(command, cwd=root, env={**kept, **own}, stdout=said, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(child.pid, 0)
        wall = time.perf_counter() - started
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            said.seek(0)
            raise SystemExit(f"{' '.join(command)}: {child.returncode}\n{said.read().decode()}")
    for _ in iter(_wait, None):
        pass
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Took(cpu, wall, usage.ru_maxrss / 1000)


def _wait() -> int | None:
    try:
        return os.wait()[0]
    except ChildProcessError:
        return None


def clone(place: Path) -> Path:
    """A git clone without any artifact."""
    subprocess.run(["git", "clone", "-q", str(ROOT), str(place)], check=True)
    return place


def digest(root: Path) -> str:
    """Of every artifact file."""
    files = sorted(path for path in (root / "artifacts").rglob("*") if path.is_file() and path.name[0] != ".")
    return hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in files)).hexdigest()


def starts(place: Path) -> Iterator[Row]:
    """The jobs of tiny, each a process of its own or a fork."""
    found = {}
    for kind, switch in (("processes", "off"), ("forks", "")):
        root = clone(place / kind)
        command = ("snakemake", "--cores", "1", "--quiet", "all", "--config", "experiment=tiny", "unrecorded=true")
        found[kind] = took(root, *command, DCPIPE_FORK_SERVER=switch).cpu_s
        yield Row(f"13 jobs of tiny as {kind}", found[kind], "CPU s")
    yield Row("  forks beside processes", found["forks"] / found["processes"], "", 0.5)
    yield Row("  different bytes", float(digest(place / "forks") != digest(place / "processes")), "", 0)


def questions(place: Path) -> Iterator[Row]:
    """About the default experiment, in a clone with one artifact."""
    root = clone(place / "questions")
    took(root, "dcpipe", "data", "digits")
    asked = ("plan digits", "status digits", "params show digits", "where artifacts/data/digits")
    for words in asked:
        last = [took(root, "dcpipe", *words.split()) for _ in range(WARM)][-1]
        yield Row(f"dcpipe {words}", last.cpu_s, "CPU s", 1.0)
        yield Row("  peak", last.peak_mb, "MB", 150)


def dry_run(place: Path) -> Iterator[Row]:
    """Snakemake's plan of the default beside that of an empty Snakefile."""
    root = clone(place / "dry")
    (place / "empty").mkdir()
    (place / "empty" / "Snakefile").write_text(EMPTY)
    ours = [took(root, "snakemake", *DEFAULT) for _ in range(WARM)][-1]
    empty = [took(place / "empty", "snakemake", "--cores", "1", "--dry-run") for _ in range(WARM)][-1]
    yield Row("snakemake -n of an empty Snakefile", empty.cpu_s, "CPU s")
    yield Row("snakemake -n of digits, above that", ours.cpu_s - empty.cpu_s, "CPU s", 1.0)


def recording(*, quick: bool) -> Iterator[Row]:
    """What `plan_and_record.py` measures, in wall seconds."""
    command = [sys.executable, str(ROOT / "benchmarks/plan_and_record.py"), "--sets", "10" if quick else "200"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    for name, said, goal in (("record", "dcpipe record", 40.0), ("dvc_status", "dvc status afterwards", 60.0)):
        yield Row(f"{said}, {found['jobs']} jobs", found[f"{name}_s"], "s", None if quick else goal)


def main() -> None:
    """Print the figures beside their goals."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="record 102 jobs instead of 2,002")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args()
    ctypes.CDLL(None).prctl(ADOPTS_ORPHANS, 1, 0, 0, 0)  # the fork server outlives Snakemake by half a second
    rows = list[Row]()
    sys.stdout.write(f"{'':<52}{'':>10} {'':<6}{'goal':>8}\n")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for part in (starts(place), questions(place), dry_run(place), recording(quick=given.quick)):
            for row in part:
                rows.append(row)
                sys.stdout.write(f"{row.line}\n")
                sys.stdout.flush()
    if given.json:
        revision = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, check=True, capture_output=True, text=True
        )
        about = {
            "command": f"python benchmarks/pipeline.py{' --quick' if given.quick else ''}",
            "commit": revision.stdout.strip(),
            "hardware": f"{os.cpu_count()} cores, {platform.machine()}; load at the end {os.getloadavg()[0]:.1f}",
        }
        given.json.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")


if __name__ == "__main__":
    main()
