"""Trials that hurt processes: kills, signals, two at once, power cuts."""

import os
import shutil
import signal
import time
from functools import partial
from itertools import count
from pathlib import Path

from bench import COMMANDS, LEAVING_SECONDS, SURVIVED, Bench, Trial, Trials

import repository
from dcpipe.errors import DcpipeError
from dcpipe.provenance import artifact, durable
from dcpipe.provenance.checkpoint import ResumeState

STOPPED = 75  # the exit code of a command that saved its state and left
STEPS = {"experts": 4, "distill": 6, "evaluate": 2}  # how often a long stage asks whether to save its state


def kills(bench: Bench) -> Trials:
    """kill -9 of a job at a random moment, sometimes of its second run as well."""
    while True:
        stage = bench.random.choice(list(COMMANDS))
        root = bench.copy()
        shutil.rmtree(root / bench.job(stage).folder)
        for _ in range(bench.random.choice((1, 1, 2, 3))):
            child = bench.fork(root, COMMANDS[stage])
            time.sleep(bench.random.uniform(0, bench.seconds(stage)))
            child.kill(signal.SIGKILL)
            child.wait()
        yield bench.again(root, stage)
        bench.drop(root)


def signals(bench: Bench) -> Trials:
    """SIGTERM, SIGINT or SIGHUP: at a step of a long stage it must leave there and then, at any other moment in
    time; and go on to the same bytes.
    """
    while True:
        stage, steps = bench.random.choice(list(STEPS.items()))
        number = bench.random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGHUP))
        root = bench.copy()
        shutil.rmtree(root / bench.job(stage).folder)
        if bench.random.random() < 0.5:
            step = bench.random.randrange(1, steps)
            done = bench.run(root, COMMANDS[stage], partial(_signalled_at, step, number))
            moment, left = f"at step {step} of {steps}", {STOPPED}
        else:
            child = bench.fork(root, COMMANDS[stage])
            time.sleep(bench.seconds(stage) * bench.random.uniform(0.3, 1.0))
            child.kill(number)
            done = child.wait(LEAVING_SECONDS)
            moment, left = "at some moment", {STOPPED, -number, 130, 0}
        if done.problem or done.code not in left:
            yield Trial("lost", f"{stage}, {number.name} {moment}: exit {done.code}: {done.said[-300:]}")
        else:
            yield bench.again(root, stage)
        bench.drop(root)


def _signalled_at(step: int, number: int) -> None:
    """Let this process send itself a signal when it asks for the n-th time whether its state is due."""
    asked = count(1)

    def due(_: ResumeState) -> bool:
        if next(asked) == step:
            os.kill(os.getpid(), number)
        return False  # what is saved is what the signal asks for

    ResumeState.is_due = due  # type: ignore[method-assign]


def runs(bench: Bench) -> Trials:
    """kill -9 of `dcpipe run` at random moments of a whole experiment; the same command goes on."""
    command = ["run", "tiny", "--unrecorded"]
    while True:
        root = bench.copy()
        shutil.rmtree(root / "artifacts")
        for _ in range(bench.random.choice((1, 2))):
            child = bench.fork(root, command)
            time.sleep(bench.random.uniform(0, 3 * sum(map(bench.seconds, COMMANDS))))
            child.kill(signal.SIGKILL)
            child.wait()
        done = bench.run(root, command)
        if done.code or done.problem:
            yield Trial("lost", f"dcpipe run, again: exit {done.code}: {done.said[-400:]}")
        elif repository.bytes_below(root / "artifacts") != repository.bytes_below(bench.made / "artifacts"):
            yield Trial("silent", "dcpipe run, again: made other bytes")
        else:
            yield SURVIVED
        bench.drop(root)


def pairs(bench: Bench) -> Trials:
    """Two processes on one job at once, one of them a little later."""
    while True:
        stage = bench.random.choice(list(COMMANDS))
        root = bench.copy()
        shutil.rmtree(root / bench.job(stage).folder)
        first = bench.fork(root, COMMANDS[stage])
        time.sleep(bench.random.uniform(0, bench.seconds(stage)) / 2)
        second = bench.fork(root, COMMANDS[stage])
        ended = [first.wait(), second.wait()]
        bad = [one for one in ended if one.problem or one.code not in {0, 1}]
        yield Trial("lost", f"{stage}, two at once: {bad[0].said[-300:]}") if bad else bench.again(root, stage)
        bench.drop(root)


def power_cuts(bench: Bench) -> Trials:
    """The machine stops at any call that writes an artifact: what was not flushed to disk by then is lost.

    The model of a disk: names are kept in the order of the calls, and the content of a file that was never flushed is
    zeros of its length.
    """
    versions = {name: _content(bench, name) for name in ("old", "new")}
    for call in count(1):
        folder = bench.scratch / f"cut{call}"
        _publish(folder, versions["old"], "old")
        flushed = bench.scratch / f"cut{call}.flushed"
        process = os.fork()
        if process == 0:
            try:
                _dying_at(call, flushed)
                _publish(folder, versions["new"], "new")
            except BaseException as error:
                os.write(2, f"{error!r}\n".encode())
                os._exit(120)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if code not in {0, -signal.SIGKILL}:
            yield Trial("lost", f"publishing ended with {code}")
            return
        finished = code == 0
        kept = set(flushed.read_text().split()) if flushed.exists() else set()
        for path in [path for path in folder.rglob("*") if path.is_file()]:
            is_old = path.read_bytes() in versions["old"].values() or (not finished and path.name == artifact.CARD)
            if str(path.stat().st_ino) not in kept and not is_old:
                path.write_bytes(bytes(path.stat().st_size))
        yield _after_cut(folder, versions, finished=finished)
        if finished:
            return


def _after_cut(folder: Path, versions: dict[str, dict[str, bytes]], *, finished: bool) -> Trial:
    try:
        for payload in ("t.zarr", "s.json"):
            artifact.verify_payload(folder / payload, every_digest=True)
        version = str(artifact.read_card(folder / "s.json")["version"])
    except DcpipeError as error:
        return Trial("lost", f"published, and then: {error}") if finished else SURVIVED
    found = {name: content for name, content in repository.bytes_below(folder).items() if name != artifact.CARD}
    there = {name: content for name, content in found.items() if not name.startswith(durable.TEMPORARY_PREFIX)}
    return SURVIVED if there == versions[version] else Trial("silent", f"verified as {version}, and is not")


def _content(bench: Bench, name: str) -> dict[str, bytes]:
    return {
        file: (name * bench.random.randrange(20, 400)).encode()
        for file in ("t.zarr/zarr.json", "t.zarr/a/c/0", "t.zarr/a/c/1", "s.json")
    }


def _publish(folder: Path, content: dict[str, bytes], version: str) -> None:
    with artifact.draft_artifact(folder) as draft:
        for name, data in content.items():
            payload, _, inner = name.partition("/")
            path = draft.path(payload) / inner if inner else draft.path(payload)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        draft.publish({"version": version})


def _dying_at(call: int, flushed: Path) -> None:
    """Let this process die at its n-th call that changes a disk, and write down which files were flushed until then."""
    turn = count(1)
    real = {name: getattr(os, name) for name in ("fsync", "replace", "unlink")}

    def dying(name: str) -> None:
        def act(*arguments: object, **keywords: object) -> None:
            if next(turn) == call:
                os.kill(os.getpid(), signal.SIGKILL)
            real[name](*arguments, **keywords)
            if name == "fsync":
                with flushed.open("a") as file:
                    file.write(f"{os.fstat(int(str(arguments[0]))).st_ino}\n")

        setattr(os, name, act)

    for name in real:
        dying(name)
