"""`dcpipe import-set`: a set that came from elsewhere becomes a preset, and so a row of any experiment.

Its files go to sets/<name>/ in the data root (without one, to imported/ in the project), a preset with their digest to
params/methods/<name>.yaml, and its artifact is made at once: that compares the statements with the numbers. If anything
is wrong, nothing is left behind.
"""

import math
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml

from dcpipe.commands.new.new_experiment import local_yaml_text
from dcpipe.data import location
from dcpipe.data.foreign.foreign_set import ForeignFiles, ForeignSet, refuse_unfit
from dcpipe.data.foreign.set_layouts import read_sets
from dcpipe.data.source import digest_of
from dcpipe.distillation.coresets.imported_config import FOLDER
from dcpipe.errors import UserError
from dcpipe.params import params_files
from dcpipe.params.dataset import Dataset
from dcpipe.provenance import artifact, durable, staleness
from dcpipe.provenance.card_fields import facts_of
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import NAME

IN_PROJECT = Path("imported")  # where sets are kept if the machine has no data root
USUAL_RATE = 0.01  # of the evaluation of DC, for sets without a step size

Whitening = Literal["none", "zca"]


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """What a person says of a set. None: not stated."""

    name: str | None = None
    whitening: Whitening | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    step_size: float | None = None
    is_logarithm: bool = False  # whether the step size in the files is a logarithm
    in_python: bool = False  # whether they are arguments of a call, and not options of a command

    def option(self, name: str, value: str | None = None) -> str:
        """A statement as a person writes it."""
        if self.in_python:
            return f"{name}={repr(value) if value else '...'}"
        return f"--{name.replace('_', '-')}{f' {value}' if value else ''}"


def import_set(root: Path, path: Path, dataset: str, stated: ImportOptions) -> Iterator[str]:
    """Import what lies at a path; yields lines for people.

    Raises: UserError if the files are no set of this dataset, or a statement is missing, contradicted, or impossible.
    """
    config = Graph(root).library.dataset(dataset)[1]
    name = _name(root, path, stated)
    found = read_sets(path)
    facts = config.facts
    for one in found.sets:
        refuse_unfit(one, str(path), classes=facts.classes, channels=facts.channels, image_size=facts.image_size)
    first = found.sets[0]
    ipc, step_size = first.images_per_class(facts.classes), stated_step_size(first, path, stated)
    _refuse_whitening(config, dataset, stated)
    _refuse_unprepared(Graph(root), dataset)
    yield _summary(path, found, ipc)
    with _rollback_on_error() as made:
        place = _keep_files(root, name, found, made)
        preset = root / params_files.section_file_path("methods", name)
        text = _preset(name, dataset, found, stated, _whitening(first, config, stated), step_size)
        _write_preset(preset, text, made)
        jobs = [
            Graph(root).make_job("distill", dataset=dataset, method=name, ipc=ipc, set=i)
            for i in range(len(found.sets))
        ]
        for job in jobs:
            execute_job(job, root)
            made.append(root / job.folder)
        verdict = _read_whitening_check(jobs[0], root)
        if stated.whitening is None and not first.are_pixels and not verdict.startswith("agrees"):
            problem = f"whether its numbers were whitened is not stated, and {verdict}"
            remedy = f"state {stated.option('whitening', 'none')} or {stated.option('whitening', 'zca')}"
            raise UserError(problem, where=str(path), remedy=remedy)
        made.clear()
    yield f"whitening: {verdict}"
    yield f"files: {place}"
    yield f"preset: {preset.relative_to(root)}"
    yield from (f"{job.folder}" for job in jobs)
    yield f"score it: dcpipe evaluate {dataset} {name} --ipc {ipc} --protocol PROTOCOL"
    yield f"beside others: methods: [random, {name}], ipc: [{ipc}], sets: {len(jobs)} in a run of an experiment"


def _name(root: Path, path: Path, stated: ImportOptions) -> str:
    """The stated name, or one made from the path's. Raises: UserError if it is none."""
    stem = path.stem if path.stem not in {"images_best", "set", "synthetic"} else path.resolve().parent.name
    name = stated.name or re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-")
    if not re.fullmatch(NAME, name):
        problem = f"{name!r} is not a valid name"
        remedy = "choose one with --name: lower-case letters and digits, with single hyphens between them"
        raise UserError(problem, where="--name", remedy=remedy)
    if name in params_files.available_names(root, "methods") and not _is_import(root, name):
        problem = f"the preset {name} exists and is not an imported set"
        raise UserError(problem, where=params_files.section_file_path("methods", name), remedy="choose another --name")
    return name


def _is_import(root: Path, name: str) -> bool:
    return "kind: imported" in params_files.file_path(root, "methods", name).read_text(encoding="utf-8")


def _whitening(foreign: ForeignSet, config: Dataset, stated: ImportOptions) -> Whitening:
    """The statement; without one what the dataset has, which the numbers must then bear out."""
    if stated.whitening is not None:
        return stated.whitening
    return "none" if foreign.are_pixels or config.whitening.fit_threads is None else "zca"


def _refuse_whitening(config: Dataset, dataset: str, stated: ImportOptions) -> None:
    if stated.whitening == "zca" and config.whitening.fit_threads is None:
        problem = f"{dataset} is not whitened, so whitened images do not fit it"
        remedy = "name the dataset's variant with whitening.kind: zca, for example cifar10-zca"
        raise UserError(problem, where=stated.option("whitening", "zca"), remedy=remedy)


def stated_step_size(foreign: ForeignSet, path: Path, stated: ImportOptions) -> float:
    """The stated one, the files', or the usual rate where a layout has none. Raises: UserError if it is missing."""
    if stated.step_size is not None:
        return stated.step_size
    if foreign.step_size is None:
        if foreign.layout in {"mtt", "datm"}:
            problem = "the files hold no step size (no lr_best.pt beside the images)"
            remedy = f"state {stated.option('step_size')}; its authors' log has it"
            raise UserError(problem, where=str(path), remedy=remedy)
        return USUAL_RATE
    value = math.exp(foreign.step_size) if stated.is_logarithm else foreign.step_size
    if not 0 < value < math.inf:
        problem, number = f"the step size in the files is {foreign.step_size:g}", stated.option("step_size")
        remedy = f"add --log-step-size if it is a logarithm, or state {number}"
        if stated.in_python:
            remedy = f"state {number}, such as math.exp({foreign.step_size:g}) if it is a logarithm"
        raise UserError(problem, where=str(path), remedy=remedy)
    return value


def _refuse_unprepared(graph: Graph, dataset: str) -> None:
    """The set is compared with real images. Raises: UserError if they are not there as params say."""
    jobs = [graph.make_job("data", dataset=dataset)]
    if graph.library.dataset(dataset)[1].whitening.fit_threads is not None:
        jobs.append(graph.make_job("whiten", dataset=dataset))
    for job in jobs:
        problem = staleness.staleness_problem(job, graph.root)
        if problem:
            remedy = f"run `{job.command.split(' --log ')[0]}` first: the set is compared with real images"
            raise UserError(problem, remedy=remedy)


def _keep_files(root: Path, name: str, foreign: ForeignFiles, written: list[Path]) -> Path:
    """Copy the files to where jobs look for them. Raises: UserError if others are there."""
    try:
        folder = location.data_path(root, FOLDER)
    except UserError:
        text = local_yaml_text(root, FOLDER, root / IN_PROJECT)
        if text is not None:
            durable.write_atomically(root / "local.yaml", text.encode())
        folder = location.data_path(root, FOLDER)
    place = folder / name
    if place.exists():
        there = read_sets(place)
        if digest_of(there.files) != digest_of(foreign.files):
            raise UserError(
                "already holds other files", where=str(place), remedy="choose another --name, or remove them"
            )
        return place
    written.append(place)
    for relative, path in foreign.files:
        copy = place / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
    return place


def _preset(
    name: str, dataset: str, foreign: ForeignFiles, user: ImportOptions, whitening: Whitening, step_size: float
) -> str:
    first = foreign.sets[0]
    constants = {
        key: None if values is None else list(values) for key, values in (("mean", user.mean), ("std", user.std))
    }
    selection = {
        **{"kind": "imported", "name": name, "digest": digest_of(foreign.files), "whitening": whitening},
        **constants,
    }
    stated = user.step_size is not None or first.step_size is not None
    tree = {
        "description": f"A set of {dataset} that came from elsewhere ({first.layout} layout).",
        "label": name,
        "seed": 0,
        "matching": {"kind": "none", "selection": selection, "step_size": step_size},
        "outer": None,
        "compute": {"threads": 1, "backend": "eager"},
        "covers": "all",
        "sources": {
            "all": "the files of the set",
            "matching.step_size": "the files, or who imported them" if stated else "the rate of DC's evaluation",
        },
    }
    head = "# Written by `dcpipe import-set`. The label, the description and the step size are yours to change.\n"
    return head + yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=110)


def _write_preset(path: Path, text: str, written: list[Path]) -> None:
    if path.is_file():
        if path.read_text(encoding="utf-8") != text:
            remedy = "choose another --name, or remove the file: it is written anew"
            raise UserError("differs from what would be written for this set", where=str(path), remedy=remedy)
        return
    written.append(path)
    durable.write_atomically(path, text.encode())


@contextmanager
def _rollback_on_error() -> Iterator[list[Path]]:
    """What is in the list when something goes wrong is removed."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for path in reversed(made):
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)
        raise


def _read_whitening_check(job: Job, root: Path) -> str:
    facts = facts_of(artifact.read_card(root / job.outputs["synthetic"]))
    return facts["imported"]["whitening_check"].text()


def _summary(path: Path, foreign: ForeignFiles, ipc: int) -> str:
    first, sets = foreign.sets[0], len(foreign.sets)
    shape = "x".join(map(str, first.images_NCHW.shape))
    labels = "soft labels" if first.is_soft else "classes"
    numbers = "pixels" if first.are_pixels else "numbers as networks see them"
    many = f"{sets} sets of " if sets > 1 else ""
    return f"{path}: {first.layout} layout, {many}{shape} {numbers}, {labels}, {ipc} a class"
