"""Trials that hurt the engines: kill -9 of Snakemake and of DVC at random moments, in real clones."""

import hashlib
import shutil
import subprocess
import time
from pathlib import Path

from bench import SURVIVED, Bench, Trial, Trials

import repository
from clone import Clone

SNAKEMAKE = ["snakemake", "--config", "experiment=tiny"]
DVC = ["dcpipe", "repro", "tiny"]


def snakemake_kills(bench: Bench) -> Trials:
    """The same `snakemake` goes on, and records."""
    yield from _kills(bench, SNAKEMAKE)


def dvc_kills(bench: Bench) -> Trials:
    """The same `dcpipe repro` goes on, and adopts."""
    yield from _kills(bench, DVC)


def _kills(bench: Bench, command: list[str]) -> Trials:
    wanted = _digests(bench.made)
    while True:
        clone = Clone.make(bench.scratch / f"clone{time.monotonic_ns()}")
        child = subprocess.Popen(
            command, cwd=clone.path, env=clone.environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        moment = bench.random.uniform(2.0, 60.0)
        time.sleep(moment)
        child.kill()
        child.wait()
        done = clone.run(*command, ok=False)
        if done.returncode or "Traceback" in done.stderr:
            yield Trial("lost", f"{command[0]} after {moment:.1f} s, again: {done.stderr[-400:]}")
        elif _digests(clone.path) != wanted:
            yield Trial("silent", f"{command[0]} after {moment:.1f} s: other bytes")
        elif not clone.dvc_is_clean():
            yield Trial("lost", f"{command[0]} after {moment:.1f} s: not recorded")
        else:
            yield SURVIVED
        shutil.rmtree(clone.path)


def _digests(root: Path) -> dict[str, str]:
    """Of every payload; cards name the class of the machine and the code, which are the same here."""
    found = repository.bytes_below(root / "artifacts")
    own = {name: content for name, content in found.items() if not name.endswith(".snakemake_timestamp")}
    return {name: hashlib.sha256(content).hexdigest() for name, content in own.items()}
