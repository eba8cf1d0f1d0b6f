"""Published experts: `replay_buffer_*.pt` files of the public trajectory-matching codes into trajectory stores.

A file is a list of experts; an expert the list of its checkpoints, epoch 0 first; a checkpoint the list of its
float32 tensors in the order of `net.parameters()`. Files are ordered by the numbers in their names, and so are the
experts. They are pickles: `torch_files` reads them, which builds tensors and runs nothing.

The files have no losses and accuracies: they are NaN in the store. The card names the files.
Memory: one file (mapped, unless it is of PyTorch's older form) and one shard.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from dcpipe.data import location
from dcpipe.data.source import FileStamps
from dcpipe.data.torch_files import read_torch_file
from dcpipe.errors import UserError
from dcpipe.experts import trajectory
from dcpipe.experts.convex import step_lengths
from dcpipe.experts.trajectory import Recording
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.resolve import ResolvedSection
from dcpipe.progress import track
from dcpipe.provenance import artifact, card, staleness
from dcpipe.provenance.artifact import FileEntry
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stopping import stop, stop_requested
from dcpipe.workflow.task import Task

FOLDER = "buffers"  # below the data root: buffers/<dataset>/<experts>/*.pt
OTHER_FILES = "pass files of this network and dataset, or change the params"


@dataclass(frozen=True, slots=True)
class ImportedExpert:
    """One expert inside a file, its checkpoints checked: those of epochs 0 to the last one of the params."""

    file: str
    index: int
    checkpoints: Sequence[Sequence[Tensor]]


@dataclass(frozen=True, slots=True)
class ExpectedTrajectories:
    """What params say of the experts: their config and their network."""

    params: Experts
    network: str
    model: FlatModel

    @classmethod
    def from_job(cls, job: Job) -> "ExpectedTrajectories":
        """What a job's params say."""
        params, known = job.section("experts", Experts), job.section("facts", DatasetFacts)
        network = job.section("network", str)
        model = build(network, channels=known.channels, image_size=known.image_size, classes=known.classes)
        return cls(params, network, model)

    @property
    def kept_epochs(self) -> tuple[int, ...]:
        """The epochs to keep."""
        return kept_epochs(self.params.kept_epochs, self.params.epochs)


def import_files(
    graph: Graph, dataset: str, experts: str, files: Sequence[Path]
) -> Iterator[tuple[Job, Literal["imported", "current"]]]:
    """Publish every shard of an experts file whose origin is `imported`; yields each job when it is done.

    All files are checked before the first shard is written; shards that exist are left alone.

    Raises: UserError naming file, expert, checkpoint and tensor that differ from the params; or if the params say that
    the experts are trained, or have another digest.
    """
    resolved, config = graph.library.experts(experts, dataset)
    jobs = [
        graph.make_job("experts", dataset=dataset, experts=experts, shard=shard) for shard in range(config.num_shards)
    ]
    card.identity(jobs[0], graph.root)  # raises where the dataset is not prepared, before anything is read
    files = _sorted_by_number(files)
    read, entries = FileStamps.read(files), _entries(files)
    _refuse_origin(resolved, config, _digest(entries))
    wanted = ExpectedTrajectories.from_job(jobs[0])
    _refuse_few(resolved, config, sum(_count_experts(files, wanted)))
    missing = {number for number, job in enumerate(jobs) if staleness.staleness_problem(job, graph.root)}
    size = config.shard_experts
    recordings = _recordings(files, wanted, {shard * size + row for shard in missing for row in range(size)})
    for number, job in enumerate(jobs):
        if number in missing:
            execute_job(
                job,
                graph.root,
                run_instead=lambda task: _write_shard(task, wanted, islice(recordings, size), entries, read),
            )
        yield job, "imported" if number in missing else "current"


def run(task: Task) -> None:
    """The experts stage of imported experts: one shard, from the files where this machine keeps them.

    An engine deletes a job's outputs before it runs the job, so the job itself must be able to import them again.

    Raises: UserError if the files are missing, have another digest, or differ from the params.
    """
    config, wildcards = task.section("experts", Experts), task.job.wildcards
    by_hand = f"or name them: `dcpipe import-buffers {wildcards['dataset']} {wildcards['experts']} FILE...`"
    try:
        place = location.data_path(task.root, FOLDER) / wildcards["dataset"] / wildcards["experts"]
    except UserError as error:
        raise UserError(error.problem, where=error.where, remedy=f"{error.remedy}, {by_hand}") from error
    files = _sorted_by_number(sorted(place.glob("*.pt")))
    if not files:
        problem = "these experts are imported, and there is no .pt file"
        raise UserError(problem, where=str(place), remedy=f"put them there, {by_hand}")
    read, entries = FileStamps.read(files), _entries(files)
    if _digest(entries) != config.origin.pinned_digest:
        problem = f"the files have the digest {_digest(entries)}; params state {config.origin.pinned_digest}"
        raise UserError(
            problem, where=str(place), remedy="set origin.digest to that of these files, or put the other files there"
        )
    wanted, first = ExpectedTrajectories.from_job(task.job), int(wildcards["shard"]) * config.shard_experts
    _write_shard(
        task, wanted, _recordings(files, wanted, set(range(first, first + config.shard_experts))), entries, read
    )


def _entries(files: Iterable[Path]) -> list[FileEntry]:
    return [FileEntry(path.name, path.stat().st_size, artifact.sha256(path)) for path in files]


def _digest(entries: list[FileEntry]) -> str:
    return f"sha256:{artifact.digest_of(entries)}"


def read_file(path: Path, expected: ExpectedTrajectories) -> Iterator[ImportedExpert]:
    """The experts of a file, each checked before it is yielded.

    Raises: UserError if the file is not a list of experts of this network, or first and last checkpoints are equal.
    """
    experts = read_torch_file(path)
    if not isinstance(experts, list | tuple) or not experts:
        raise UserError("is not a list of experts", where=str(path), remedy="pass replay_buffer_*.pt files")
    for index, checkpoints in enumerate(experts):
        yield _checked(ImportedExpert(path.name, index, checkpoints), expected)


def _sorted_by_number(files: Sequence[Path]) -> list[Path]:
    """By the numbers in their names: 2 before 10."""
    names = [path.name for path in files]
    for path in files:
        if not path.is_file():
            raise UserError("this file does not exist", where=str(path), remedy="pass replay_buffer_*.pt files")
        if names.count(path.name) > 1:
            raise UserError("two files have this name", where=path.name, remedy="pass each file once, of one folder")

    def parts(path: Path) -> list[tuple[int, str]]:
        return [(int(text), "") if text.isdecimal() else (-1, text) for text in re.split(r"([0-9]+)", path.name)]

    return sorted(files, key=parts)


def _refuse_origin(resolved: ResolvedSection, config: Experts, digest: str) -> None:
    pinned = config.origin.pinned_digest
    if pinned is None:
        where = _key_location(resolved, "origin.kind")
        remedy = f"write a variant with `origin: {{kind: imported, digest: {digest}}}`, and import into it"
        raise UserError("is not `imported`", where=where, remedy=remedy)
    if pinned != digest:
        problem, remedy = (
            f"the files have the digest {digest}, not {pinned}",
            "use the files with the digest in params, or change origin.digest",
        )
        raise UserError(problem, where=_key_location(resolved, "origin.digest"), remedy=remedy)


def _refuse_few(resolved: ResolvedSection, config: Experts, available: int) -> None:
    if available < config.count:
        problem, remedy = f"is {config.count}; the files contain {available} experts", "pass all files, or lower it"
        raise UserError(problem, where=_key_location(resolved, "count"), remedy=remedy)


def _key_location(resolved: ResolvedSection, key: str) -> str:
    return resolved.location_of(key)


def _count_experts(files: Iterable[Path], expected: ExpectedTrajectories) -> Iterator[int]:
    """How many experts each file contains; all of them are checked."""
    for path in track(list(files), "files"):
        yield sum(1 for _ in read_file(path, expected))


def _checked(expert: ImportedExpert, expected: ExpectedTrajectories) -> ImportedExpert:
    where, last = f"{expert.file}: expert {expert.index}", expected.params.epochs
    if not isinstance(expert.checkpoints, list | tuple):
        raise UserError("is not a list of checkpoints", where=where, remedy="pass replay_buffer_*.pt files")
    if len(expert.checkpoints) <= last:
        problem = f"has {len(expert.checkpoints)} checkpoints; {last} epochs need {last + 1}"
        raise UserError(problem, where=where, remedy="lower epochs in the params")
    for epoch, tensors in enumerate(expert.checkpoints):
        _refuse_tensors(tensors, expected, f"{where}, checkpoint {epoch}")
    first, final = expert.checkpoints[0], expert.checkpoints[-1]
    if all(torch.equal(old, new) for old, new in zip(first, final, strict=True)):
        problem = "its first and last checkpoints are equal, so no path was saved"
        remedy = (
            "the public code, run on a CPU, saves views of the live network instead of copies; record the experts again"
        )
        raise UserError(problem, where=where, remedy=remedy)
    return ImportedExpert(expert.file, expert.index, expert.checkpoints[: last + 1])


def _refuse_tensors(tensors: object, expected: ExpectedTrajectories, where: str) -> None:
    layout = expected.model.layout
    if not isinstance(tensors, list | tuple):
        raise UserError("is not a list of tensors", where=where, remedy="pass replay_buffer_*.pt files")
    if len(tensors) != len(layout):
        problem = f"has {len(tensors)} tensors; {expected.network} has {len(layout)}"
        raise UserError(problem, where=where, remedy=OTHER_FILES)
    for number, (spec, tensor) in enumerate(zip(layout, tensors, strict=True)):
        place = f"{where}, tensor {number} ({spec.name})"
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided or tensor.device.type != "cpu":
            raise UserError("is not a tensor of numbers", where=place, remedy="pass replay_buffer_*.pt files")
        if tuple(tensor.shape) != spec.shape:
            problem = f"has shape {tuple(tensor.shape)}; {expected.network} has {spec.shape}"
            raise UserError(problem, where=place, remedy=OTHER_FILES)
        if tensor.dtype != torch.float32:
            problem = f"is {str(tensor.dtype).removeprefix('torch.')}; experts must be float32"
            raise UserError(problem, where=place, remedy="convert them to float32")


def _recordings(
    files: Sequence[Path], expected: ExpectedTrajectories, numbers: set[int]
) -> Iterator[tuple[ImportedExpert, Recording]]:
    """The experts of these numbers, in order, copied out of their files; one file is open at a time."""
    number = 0
    for path in files:
        if number > max(numbers):
            return
        for expert in read_file(path, expected):
            if number in numbers:
                yield ImportedExpert(expert.file, expert.index, ()), _recording(expert, expected)
            number += 1
        del expert  # or this file stays open while the next one is read


def _recording(expert: ImportedExpert, expected: ExpectedTrajectories) -> Recording:
    epochs, tiles = expected.params.epochs, [(spec.offset, spec.size) for spec in expected.model.layout]
    flat = [expected.model.flatten([t.detach() for t in checkpoint]) for checkpoint in expert.checkpoints[: epochs + 1]]
    for epoch, theta_P in enumerate(flat):  # those that are not kept, too: their steps' lengths are
        if not bool(torch.isfinite(theta_P).all()):
            problem = f"expert {expert.index} (the first is 0) has values that are not finite in checkpoint {epoch}"
            remedy = "save the file again without this expert"
            raise UserError(problem, where=expert.file, remedy=remedy)
    theta_EP = torch.stack([flat[epoch] for epoch in expected.kept_epochs])
    lengths = [step_lengths(before, after, tiles).tolist() for before, after in pairwise(flat)]
    return Recording(theta_EP, [math.nan] * epochs, [math.nan] * (epochs + 1), lengths)


def _write_shard(
    task: Task,
    expected: ExpectedTrajectories,
    experts: Iterable[tuple[ImportedExpert, Recording]],
    entries: Sequence[FileEntry],
    read: FileStamps,
) -> None:
    """One shard, in the place of the experts stage."""
    sources, recordings = [], []
    for expert, recording in experts:
        sources.append({"file": expert.file, "expert": expert.index})
        recordings.append(recording)
        if stop_requested():
            stop()
    if len(recordings) < expected.params.shard_experts:
        problem = f"the files contain {len(recordings)} of the {expected.params.shard_experts} experts of this shard"
        raise UserError(problem, where=task.job.name, remedy="pass all files, or lower count")
    read.refuse_changed()
    store = expected.params.store
    trajectory.write(
        task.output("trajectory"),
        recordings,
        epochs=expected.kept_epochs,
        layout=trajectory.ParameterLayout.from_specs(expected.network, expected.model.layout),
        codec=store.codec,
        level=store.level,
    )
    task.facts |= {
        "imported": [{"file": entry.path, "size": entry.size, "sha256": entry.sha256} for entry in entries],
        "experts": sources,
        "parameters": expected.model.num_parameters,
    }
