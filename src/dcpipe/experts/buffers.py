"""Published experts: `replay_buffer_*.pt` files of the public trajectory-matching codes into trajectory stores.

A file is a list of experts; an expert the list of its checkpoints, epoch 0 first; a checkpoint the list of its
float32 tensors in the order of `net.parameters()`. Files are ordered by the numbers in their names, and so are the
experts. They are pickles: only PyTorch's weights-only reader opens them, which builds tensors and runs nothing.

What is not in the files stays unknown: losses and accuracies are NaN in the store, and the card names the files.
Memory: one file (mapped, unless it is of PyTorch's older form) and one shard.
"""

import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dcpipe.data import location
from dcpipe.errors import UserError
from dcpipe.experts import trajectory
from dcpipe.experts.convex import step_lengths
from dcpipe.experts.trajectory import Recording
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.facts import Facts
from dcpipe.params.resolve import Resolved
from dcpipe.progress import track
from dcpipe.provenance import artifact, card, staleness
from dcpipe.provenance.artifact import Entry
from dcpipe.workflow.execution import execute
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.task import Task, stop, stop_asked

ZIP = b"PK\x03\x04"
FOLDER = "buffers"  # below the data root: buffers/<dataset>/<experts>/*.pt
OTHER_FILES = "give the files of this network and dataset, or name those in the params"


@dataclass(frozen=True, slots=True)
class Expert:
    """One expert inside a file, its checkpoints looked at: those of epochs 0 to the last that params know."""

    file: str
    index: int
    checkpoints: Sequence[Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What params say of the experts: their recipe and the network whose parameters they are."""

    params: Experts
    network: str
    model: FlatModel

    @classmethod
    def of(cls, job: Job) -> "Wanted":
        """What one of the jobs asks for."""
        params, known = job.section("experts", Experts), job.section("facts", Facts)
        network = job.section("network", str)
        model = build(network, channels=known.channels, image_size=known.image_size, classes=known.classes)
        return cls(params, network, model)

    @property
    def kept(self) -> tuple[int, ...]:
        """The epochs to keep."""
        return kept_epochs(self.params.kept_epochs, self.params.epochs)


def import_files(
    graph: Graph, dataset: str, experts: str, files: Sequence[Path]
) -> Iterator[tuple[Job, Literal["imported", "current"]]]:
    """Publish every shard of an experts file whose origin is `imported`; tells each as it is done.

    All files are looked at before the first shard is written; shards that are there already are left alone.

    Raises: UserError naming file, expert, checkpoint and tensor of what is not as the params say, or if the params
    say that the experts are trained, or have the digest of other files.
    """
    resolved, what = graph.library.experts(experts, dataset)
    jobs = [graph.job("experts", dataset=dataset, experts=experts, shard=shard) for shard in range(what.shards)]
    card.identity(jobs[0], graph.root)  # the dataset must be prepared: say so before anything is read
    files = _ordered(files)
    entries = _entries(files)
    _refuse_origin(resolved, what, _digest(entries))
    wanted = Wanted.of(jobs[0])
    _refuse_few(resolved, what, sum(_look_at(files, wanted)))
    missing = {number for number, job in enumerate(jobs) if staleness.problem(job, graph.root)}
    size = what.shard_experts
    found = _recordings(files, wanted, {shard * size + row for shard in missing for row in range(size)})
    for number, job in enumerate(jobs):
        if number in missing:
            execute(job, graph.root, instead=lambda task: _write(task, wanted, islice(found, size), entries))
        yield job, "imported" if number in missing else "current"


def run(task: Task) -> None:
    """The experts stage of imported experts: one shard, from the files where this machine keeps them.

    An engine that runs a job removes what the job made before; so it must be able to make it again.

    Raises: UserError if the files are not there, have another digest, or are not as the params say.
    """
    what, words = task.section("experts", Experts), task.job.wildcards
    by_hand = f"or name them: `dcpipe import-buffers {words['dataset']} {words['experts']} FILE...`"
    try:
        place = location.find(task.root, FOLDER) / words["dataset"] / words["experts"]
    except UserError as error:
        raise UserError(error.what, where=error.where, remedy=f"{error.remedy}, {by_hand}") from error
    files = _ordered(sorted(place.glob("*.pt")))
    if not files:
        told = "these experts are imported, and no published file is here"
        raise UserError(told, where=str(place), remedy=f"put them there, {by_hand}")
    entries = _entries(files)
    if _digest(entries) != what.origin.pinned_digest:
        told = f"the files have the digest {_digest(entries)}, and the params say {what.origin.pinned_digest}"
        raise UserError(told, where=str(place), remedy="pin these in origin.digest, or put the pinned ones there")
    wanted, first = Wanted.of(task.job), int(words["shard"]) * what.shard_experts
    _write(task, wanted, _recordings(files, wanted, set(range(first, first + what.shard_experts))), entries)


def _entries(files: Iterable[Path]) -> list[Entry]:
    return [Entry(path.name, path.stat().st_size, artifact.sha256(path)) for path in files]


def _digest(entries: list[Entry]) -> str:
    return f"sha256:{artifact.digest_of(entries)}"


def read_file(path: Path, wanted: Wanted) -> Iterator[Expert]:
    """The experts of a file, each looked at before it is handed out.

    Raises: UserError if the file is not a list of experts of the wanted network, or nothing is left of their paths.
    """
    experts = _load(path)
    if not isinstance(experts, list | tuple) or not experts:
        raise UserError("is not a list of experts", where=str(path), remedy="give replay_buffer_*.pt files")
    for index, checkpoints in enumerate(experts):
        yield _checked(Expert(path.name, index, checkpoints), wanted)


def _ordered(files: Sequence[Path]) -> list[Path]:
    """By the numbers in their names: 2 before 10."""
    names = [path.name for path in files]
    for path in files:
        if not path.is_file():
            raise UserError("there is no such file", where=str(path), remedy="give replay_buffer_*.pt files")
        if names.count(path.name) > 1:
            raise UserError("two files have this name", where=path.name, remedy="give the files of one folder, once")

    def parts(path: Path) -> list[tuple[int, str]]:
        return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"([0-9]+)", path.name)]

    return sorted(files, key=parts)


def _refuse_origin(resolved: Resolved, what: Experts, digest: str) -> None:
    pinned = what.origin.pinned_digest
    if pinned is None:
        where = _place(resolved, "origin.kind")
        remedy = f"make a variant of it with `origin: {{kind: imported, digest: {digest}}}`, and import that"
        raise UserError("says that these experts are trained here", where=where, remedy=remedy)
    if pinned != digest:
        told, remedy = f"the files have the digest {digest}, not {pinned}", "pin these, or give the pinned ones"
        raise UserError(told, where=_place(resolved, "origin.digest"), remedy=remedy)


def _refuse_few(resolved: Resolved, what: Experts, there: int) -> None:
    if there < what.count:
        told, remedy = f"{what.count} experts are asked for, and the files hold {there}", "give all files, or lower it"
        raise UserError(told, where=_place(resolved, "count"), remedy=remedy)


def _place(resolved: Resolved, key: str) -> str:
    return resolved.place(key)


def _load(path: Path) -> object:
    with path.open("rb") as handle:
        is_zip = handle.read(len(ZIP)) == ZIP
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # the reader's doubts about odd files: what it makes is looked at
            return torch.load(path, map_location="cpu", weights_only=True, mmap=is_zip)
    except Exception as error:  # a damaged or crafted file can make the reader raise anything
        what = "is damaged, or holds something other than lists of tensors; nothing in it was run"
        raise UserError(what, where=str(path), remedy="get the publisher's file again") from error


def _look_at(files: Iterable[Path], wanted: Wanted) -> Iterator[int]:
    """How many experts each file holds, all of them looked at."""
    for path in track(list(files), "files"):
        yield sum(1 for _ in read_file(path, wanted))


def _checked(expert: Expert, wanted: Wanted) -> Expert:
    where, last = f"{expert.file}: expert {expert.index}", wanted.params.epochs
    if not isinstance(expert.checkpoints, list | tuple):
        raise UserError("is not a list of checkpoints", where=where, remedy=OTHER_FILES)
    if len(expert.checkpoints) <= last:
        told = f"has {len(expert.checkpoints)} checkpoints; {last} epochs need {last + 1}"
        raise UserError(told, where=where, remedy="lower epochs in the params")
    for epoch, tensors in enumerate(expert.checkpoints):
        _refuse_tensors(tensors, wanted, f"{where}, checkpoint {epoch}")
    first, final = expert.checkpoints[0], expert.checkpoints[-1]
    if all(torch.equal(old, new) for old, new in zip(first, final, strict=True)):
        told = "its first and last checkpoints are equal: nothing of its path is left"
        remedy = "the public code, run on a CPU, saves views of one live network instead of copies; record it anew"
        raise UserError(told, where=where, remedy=remedy)
    return Expert(expert.file, expert.index, expert.checkpoints[: last + 1])


def _refuse_tensors(tensors: object, wanted: Wanted, where: str) -> None:
    layout = wanted.model.layout
    if not isinstance(tensors, list | tuple):
        raise UserError("is not a list of tensors", where=where, remedy=OTHER_FILES)
    if len(tensors) != len(layout):
        told = f"has {len(tensors)} tensors, and {wanted.network} has {len(layout)}"
        raise UserError(told, where=where, remedy=OTHER_FILES)
    for number, (spec, tensor) in enumerate(zip(layout, tensors, strict=True)):
        place = f"{where}, tensor {number} ({spec.name})"
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise UserError("is not a tensor of numbers", where=place, remedy=OTHER_FILES)
        if tuple(tensor.shape) != spec.shape:
            told = f"has shape {tuple(tensor.shape)}, and in {wanted.network} {spec.shape}"
            raise UserError(told, where=place, remedy=OTHER_FILES)
        if tensor.dtype != torch.float32:
            told = f"holds {str(tensor.dtype).removeprefix('torch.')} instead of float32"
            raise UserError(told, where=place, remedy="give experts in float32")


def _recordings(files: Sequence[Path], wanted: Wanted, numbers: set[int]) -> Iterator[tuple[Expert, Recording]]:
    """The experts of these numbers, in order, copied out of their files; one file is open at a time."""
    number = 0
    for path in files:
        if number > max(numbers):
            return
        for expert in read_file(path, wanted):
            if number in numbers:
                yield Expert(expert.file, expert.index, ()), _recording(expert, wanted)
            number += 1
        del expert  # or this file stays open while the next one is read


def _recording(expert: Expert, wanted: Wanted) -> Recording:
    epochs, tiles = wanted.params.epochs, [(spec.offset, spec.size) for spec in wanted.model.layout]
    flat = [wanted.model.flatten([t.detach() for t in checkpoint]) for checkpoint in expert.checkpoints[: epochs + 1]]
    for epoch, theta_P in enumerate(flat):  # those that are not kept, too: their steps' lengths are
        if not bool(torch.isfinite(theta_P).all()):
            where = f"{expert.file}: expert {expert.index}, checkpoint {epoch}"
            raise UserError("holds values that are not finite", where=where, remedy="leave this expert out")
    theta_EP = torch.stack([flat[epoch] for epoch in wanted.kept])
    lengths = [step_lengths(before, after, tiles).tolist() for before, after in pairwise(flat)]
    return Recording(theta_EP, [math.nan] * epochs, [math.nan] * (epochs + 1), lengths)


def _write(task: Task, wanted: Wanted, found: Iterable[tuple[Expert, Recording]], entries: Sequence[Entry]) -> None:
    """One shard, in the place of the experts stage."""
    sources, recordings = [], []
    for expert, recording in found:
        sources.append({"file": expert.file, "expert": expert.index})
        recordings.append(recording)
        if stop_asked():
            stop()
    if len(recordings) < wanted.params.shard_experts:
        told = f"the files hold {len(recordings)} of the {wanted.params.shard_experts} experts of this shard"
        raise UserError(told, where=task.job.name, remedy="give all files, or lower count")
    store = wanted.params.store
    trajectory.write(
        task.output("trajectory"),
        recordings,
        epochs=wanted.kept,
        layout=trajectory.Layout.of(wanted.network, wanted.model.layout),
        codec=store.codec,
        level=store.level,
    )
    task.facts |= {
        "imported": [{"file": entry.path, "size": entry.size, "sha256": entry.sha256} for entry in entries],
        "experts": sources,
        "parameters": wanted.model.num_parameters,
    }
