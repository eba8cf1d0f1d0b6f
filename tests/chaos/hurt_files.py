"""Trials that hurt files: full disks, rot, other times, other owners."""

import os
import re
import resource
import shutil
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from bench import COMMANDS, SURVIVED, Bench, Ended, Trial, Trials

import repository
from dcpipe.commands import verify
from dcpipe.provenance import durable
from dcpipe.provenance.staleness import staleness_problem
from dcpipe.workflow.graph import Graph

NOBODY = 65534
RELEASE = ["release", "tiny", "mtt", "--ipc", "1", "--protocol", "digits", "--to", "out/mine"]
WRITERS: dict[str, tuple[list[str], str]] = {
    **{stage: (command, "") for stage, command in COMMANDS.items()},
    "release": (RELEASE, "out"),
    "test-images": (["test-images", "tiny", "out/test.npz"], "out"),
    "report": (["report", "tiny"], "results"),
}
_FULL = re.compile(
    r"the disk is full; |[MG]B are free; free some disk space|\((?:No space left on device|File too large)\)"
)


def full_disks(bench: Bench) -> Trials:
    """A file system of a few kilobytes (an ordinary user: a limit on the size of files) below an output."""
    while True:
        name = bench.random.choice(list(WRITERS))
        command, place = WRITERS[name]
        root = bench.copy()
        folder = root / (place or bench.job(name).folder)
        shutil.rmtree(folder, ignore_errors=True)
        before = repository.bytes_below(folder)
        kilobytes = bench.random.choice((4, 8, 16, 32, 64, 128, 256))
        done, left = _on_small_disk(bench, root, folder, command, kilobytes)
        if done.problem:
            yield Trial("lost", f"{name} on {kilobytes} kB: {done.problem}")
        elif done.code == 0:
            yield SURVIVED
        elif not _FULL.search(done.said):
            yield Trial("lost", f"{name} on {kilobytes} kB: exit {done.code}: {done.said[-300:]}")
        elif left != before:
            yield Trial("lost", f"{name} on {kilobytes} kB left {sorted(left)[:4]}")
        else:
            again = bench.run(root, command)
            yield (
                Trial("lost", f"{name}, again: exit {again.code}: {again.said[-300:]}")
                if again.code or again.problem
                else SURVIVED
            )
        bench.drop(root)


def _on_small_disk(
    bench: Bench, root: Path, folder: Path, command: list[str], kilobytes: int
) -> tuple[Ended, dict[str, bytes]]:
    """How a command ends on a disk of that size, and what it left there."""
    folder.mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)]
    if os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0:
        try:
            done = bench.run(root, command)
            return done, repository.bytes_below(folder)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
            with suppress(OSError):
                folder.rmdir()
    size = 1024 * kilobytes
    done = bench.run(root, command, lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)))
    return done, repository.bytes_below(folder)


DAMAGE: dict[str, Callable[[Path, int], object]] = {
    "a flipped bit": lambda path, at: path.write_bytes(_flipped(path.read_bytes(), at)),
    "a torn end": lambda path, at: path.write_bytes(path.read_bytes()[: at // 8]),
    "zeros": lambda path, at: path.write_bytes(path.read_bytes()[: at // 8] + bytes(len(path.read_bytes()) - at // 8)),
    "a missing file": lambda path, _: path.unlink(),
    "more bytes": lambda path, _: path.write_bytes(path.read_bytes() + b"x"),
}


def _flipped(content: bytes, at: int) -> bytes:
    spoilt = bytearray(content)
    spoilt[at // 8] ^= 1 << at % 8
    return bytes(spoilt)


def rot(bench: Bench) -> Trials:
    """Any file of any artifact, spoilt without a trace in its time: `verify` names it, no reader uses it, and the
    remedy ends it.
    """
    jobs = [job for job in Graph(bench.made).experiment_jobs("tiny") if not job.is_view]
    while True:
        job = bench.random.choice(jobs)
        root = bench.copy()
        path = bench.random.choice([path for path in (root / job.folder).rglob("*") if path.is_file()])
        name = bench.random.choice(list(DAMAGE))
        whole, status = path.read_bytes(), path.stat()
        if not whole:
            bench.drop(root)
            continue
        DAMAGE[name](path, bench.random.randrange(8 * len(whole)))
        if path.exists():
            if path.read_bytes() == whole:  # zeros over zeros
                bench.drop(root)
                continue
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        yield _found(bench, root, job.name, f"{name} in {path.relative_to(root)}")
        bench.drop(root)


def _found(bench: Bench, root: Path, name: str, what: str) -> Trial:
    graph = Graph(root)
    jobs = {job.name: job for job in graph.experiment_jobs("tiny") if not job.is_view}
    job = jobs[name]
    if verify.verify_job(job, root, {}).problem is None:
        return Trial("silent", f"verify: {what}")
    if staleness_problem(job, root, every_digest=True) is None:
        return Trial("silent", f"record: {what}")
    read = {one.name: {path for paths in one.inputs.values() for path in paths} for one in jobs.values()}
    readers = [one for one in jobs.values() if read[one.name] & set(job.outputs.values())]
    for reader in readers[:1]:
        shutil.rmtree(root / reader.folder)
        done = bench.run(root, ["make", str(reader.folder)])
        if done.problem:
            return Trial("lost", f"{reader.name}: {what}: {done.problem}")
        there = repository.bytes_below(root / reader.folder)
        if done.code == 0 and there != repository.bytes_below(bench.made / reader.folder):
            return Trial("silent", f"{reader.name} read {what}")
    shutil.rmtree(root / job.folder)
    done = bench.run(root, ["make", str(job.folder)])
    healed = repository.bytes_below(root / job.folder) == repository.bytes_below(bench.made / job.folder)
    return SURVIVED if healed else Trial("lost", f"after the remedy: {what}: {done.said[-300:]}")


def small_files(bench: Bench) -> Trials:
    """Rot of what no digest covers: states, costs, locks and logs. The same command makes the same bytes."""
    while True:
        stage = bench.random.choice(("distill", "experts", "evaluate"))
        root = bench.copy()
        shutil.rmtree(root / bench.job(stage).folder)
        child = bench.fork(root, COMMANDS[stage])
        time.sleep(bench.random.uniform(0.5, 1.0) * bench.seconds(stage))
        child.kill(9)
        child.wait()
        files = [p for place in ("state", "costs", "logs") for p in (root / place).rglob("*") if p.is_file()]
        for path in bench.random.sample(files, min(len(files), 5)):
            content = path.read_bytes()
            spoilt = bench.random.choice((b"", b"nan", b"[" * 5000, b"\xff\x00", content[: len(content) // 2], b"{}"))
            path.write_bytes(spoilt)
        yield bench.again(root, stage)
        bench.drop(root)


def clocks(bench: Bench) -> Trials:
    """Times of files that lie years ahead or back, and, where libfaketime is installed, a clock that jumps."""
    jobs = [job for job in Graph(bench.made).experiment_jobs("tiny") if not job.is_view]
    faketime = next(iter(Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)
    while True:
        root = bench.copy()
        for path in root.rglob("*"):
            moment = time.time() + bench.random.uniform(-3e8, 3e8)
            os.utime(path, (moment, moment))
        stale = [job.name for job in jobs if staleness_problem(job, root)]
        if stale:
            yield Trial("lost", f"{stale[0]} is stale by its times alone")
            bench.drop(root)
            continue
        stage = bench.random.choice(list(COMMANDS))
        shutil.rmtree(root / bench.job(stage).folder)
        if faketime is None:
            yield bench.again(root, stage)
        else:
            jump = {"LD_PRELOAD": str(faketime), "FAKETIME": f"{bench.random.choice('+-')}{bench.random.randrange(9)}y"}
            done = repository.child(root, "-m", "dcpipe", *COMMANDS[stage], **jump)
            folder = bench.job(stage).folder
            equal = repository.bytes_below(root / folder) == repository.bytes_below(bench.made / folder)
            yield SURVIVED if equal else Trial("lost", f"{stage}, {jump['FAKETIME']}: {done.stderr[-300:]}")
        bench.drop(root)


def permissions(bench: Bench) -> Trials:
    """Folders and files that an ordinary user may not write, or not read."""
    while True:
        name = bench.random.choice(list(WRITERS))
        command, place = WRITERS[name]
        root = bench.copy()
        folder = root / (place or bench.job(name).folder)
        shutil.rmtree(folder, ignore_errors=True)
        for path in (root, *root.rglob("*")):
            if os.geteuid() == 0:
                os.chown(path, NOBODY, NOBODY)
        spoilt = bench.random.choice(["no writing", "no reading", "no listing"])
        where, mode = _spoil(bench, root, folder, spoilt)
        done = bench.run(root, command, _as_nobody)
        where.chmod(mode)
        if done.problem:
            yield Trial("lost", f"{name}, {spoilt} {where.relative_to(root)}: {done.problem}")
        elif [path for path in root.rglob(f"{durable.TEMPORARY_PREFIX}*") if path != where]:
            yield Trial("lost", f"{name}, {spoilt} {where.relative_to(root)}: left temporary files")
        elif done.code not in {0, 1, 2}:
            yield Trial("lost", f"{name}, {spoilt}: exit {done.code}: {done.said[-300:]}")
        else:
            again = bench.run(root, command)
            kept = done.code == 0 and again.code == 2 and "exists already" in again.said
            yield (
                SURVIVED
                if again.code == 0 or kept
                else Trial("lost", f"{name}, again: exit {again.code}: {again.said[-300:]}")
            )
        bench.drop(root)


def _spoil(bench: Bench, root: Path, folder: Path, how: str) -> tuple[Path, int]:
    """Take rights away from a place; returns it, and its mode of before."""
    if how == "no reading":
        where = bench.random.choice([p for p in (root / "artifacts").rglob("*") if p.is_file()])
        new = 0o000
    elif how == "no listing":
        where = bench.random.choice([p for p in (root / "artifacts").rglob("*") if p.is_dir()])
        new = 0o000
    else:
        where = next(path for path in (folder, *folder.parents) if path.exists())
        new = 0o555
    mode = where.stat().st_mode & 0o777
    where.chmod(new)
    return where, mode


def _as_nobody() -> None:
    if os.geteuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
