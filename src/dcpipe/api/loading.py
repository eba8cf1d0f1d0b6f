"""`dcpipe.load`: a set that lies in a file or folder, whoever made it.

A release states all that is needed. Files of other codes hold numbers, and seldom how they were prepared. Pixels need
no statement. Numbers that were standardised need the constants. Numbers that were prepared as the images of a named
dataset are, by whitening for example, need its name: then they are imported into a workspace, as by `dcpipe import-
set`, compared with real images, and scored beside them.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from dcpipe.api.distilled_set import DistilledSet, set_of_job
from dcpipe.api.evaluation_dataset import EvaluationDataset
from dcpipe.api.reading import from_tensors
from dcpipe.api.workspace import DIGEST_DIGITS, Workspace
from dcpipe.commands import import_set
from dcpipe.commands.import_set import ImportOptions, Whitening
from dcpipe.commands.release import read_release
from dcpipe.commands.release.release_folder import SUMS
from dcpipe.data.foreign.foreign_set import ForeignFiles, ForeignSet
from dcpipe.data.foreign.set_layouts import RELEASE, read_sets
from dcpipe.data.source import digest_of
from dcpipe.distillation.coresets.imported_config import FOLDER
from dcpipe.errors import UserError
from dcpipe.params import params_files
from dcpipe.provenance import staleness


def load(
    path: str | Path,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    dataset: str | None = None,
    whitening: Whitening | None = None,
    step_size: float | None = None,
    number: int = 0,
    workspace: str | Path | None = None,
) -> DistilledSet:
    """A set from a file or folder, as a torch Dataset with the transform of test images.

    Args:
        path: a folder that `dcpipe release` or `DistilledSet.save` made, which needs nothing else; images_best.pt
            beside labels_best.pt (MTT, FTD, TESLA, DATM); res_*.pt (DC, DSA, DM); .npz; .safetensors; a folder of
            images per class; or a folder of Hugging Face's `datasets`. Nothing in a file is run.
        mean: what the makers of the set subtracted from the pixels in [0, 1] of each channel. Not for pixels.
        std: what they divided by then.
        dataset: instead, the name of the dataset whose images were prepared in the same way, such as "cifar10-zca". Its
            images are prepared in the workspace, if they are not there.
        whitening: "zca" or "none", whether the numbers were whitened: a statement, which is compared with the dataset's
            images. None: as those are, if the comparison says so.
        step_size: the learning rate that goes with the set; None: the files' or, where a layout has none, 0.01.
        number: which set of a file of several, from 0.
        workspace: for `dataset`, as for `dcpipe.distill`.

    Raises: UserError for a path without a set, and for a statement that is missing, contradicted, or without effect;
    CorruptArtifactError naming the file of a release that is not what was released.
    """
    place = Path(path).expanduser()
    said = ImportOptions(whitening=whitening, mean=mean, std=std, step_size=step_size, in_python=True)
    if _is_release(place):
        _refuse_statements(said, dataset, number)
        released = read_release.load_release(place)
        return DistilledSet(released.synthetic, released.transform, released.card, label=place.name)
    files = read_sets(place)
    if not isinstance(number, int) or not 0 <= number < len(files.sets):
        problem = f"is {number!r}; {place} holds {_count_text(len(files.sets))}"
        raise UserError(problem, where="number", remedy="pass a whole number from 0")
    if dataset is not None:
        return _load_imported_set(Workspace.open(workspace), place, files, dataset, said, number)
    return _load_foreign_set(place, files.sets[number], said)


def _is_release(path: Path) -> bool:
    return path.is_dir() and ((path / SUMS).is_file() or (path / RELEASE).is_file())


def _refuse_statements(statements: ImportOptions, dataset: str | None, number: int) -> None:
    """A release states everything itself."""
    stated: dict[str, object] = {
        "mean": statements.mean,
        "std": statements.std,
        "dataset": dataset,
        "whitening": statements.whitening,
    }
    stated |= {"step_size": statements.step_size, "number": number or None}
    for name, value in stated.items():
        if value is not None:
            raise UserError("a released set states its own", where=name, remedy="leave it out")


def _load_foreign_set(path: Path, foreign: ForeignSet, statements: ImportOptions) -> DistilledSet:
    """Pixels, or numbers that were standardised by constants that are stated."""
    if statements.whitening == "zca":
        problem = "the whitening of test images is known only where the dataset is named"
        raise UserError(problem, where='whitening="zca"', remedy='pass the name of one, such as dataset="cifar10-zca"')
    if foreign.are_pixels and (statements.mean is not None or statements.std is not None):
        where = "mean" if statements.mean is not None else "std"
        raise UserError(f"{path} holds pixels, which are not standardised", where=where, remedy="leave it out")
    if not foreign.are_pixels and statements.mean is None and statements.std is None:
        problem = "its numbers were prepared for networks, and its files do not say how"
        remedy = 'pass mean=... and std=... of its authors, or the dataset that it was made of: dataset="cifar10-zca"'
        raise UserError(problem, where=str(path), remedy=remedy)
    step_size = import_set.stated_step_size(foreign, path, statements)
    try:
        made = from_tensors(
            foreign.images_NCHW,
            foreign.logits_or_classes,
            step_size=step_size,
            mean=statements.mean,
            std=statements.std,
            label=_label(path),
        )
    except UserError as error:
        raise UserError(error.problem, where=f"{path}: {error.where}", remedy=error.remedy) from error
    made.card |= {"layout": foreign.layout, "claims_of_files": dict(foreign.claims)}
    return made


def _load_imported_set(
    workspace: Workspace, path: Path, files: ForeignFiles, dataset: str, statements: ImportOptions, number: int
) -> DistilledSet:
    """A set of a dataset of the workspace, which every call with these files and statements finds again."""
    workspace.refuse_unknown("datasets", dataset, "dataset")
    text = json.dumps([digest_of(files.files), dataset, asdict(statements)], sort_keys=True)
    statements = replace(statements, name=f"imported-{hashlib.sha256(text.encode()).hexdigest()[:DIGEST_DIGITS]}")
    name, target = str(statements.name), EvaluationDataset(workspace, dataset, has_real=True)
    ipc = files.sets[0].images_per_class(target.config.facts.classes)
    target.transform()  # makes the images that the set is compared with
    workspace.register_data_path(FOLDER)
    cell: dict[str, str | int] = {"dataset": dataset, "method": name, "ipc": ipc, "set": number}
    known = name in params_files.available_names(workspace.root, "methods")
    if not known or staleness.staleness_problem(workspace.graph().make_job("distill", **cell), workspace.root):
        for _ in import_set.import_set(workspace.root, path, dataset, statements):
            pass
    made = set_of_job(workspace, workspace.graph().make_job("distill", **cell))
    made.label = _label(path)
    return made


def _label(path: Path) -> str:
    """What tables call the set: the name of its file, or of its folder where every such file has the same name."""
    return path.resolve().parent.name if path.stem == "images_best" else path.stem


def _count_text(sets: int) -> str:
    return f"{sets} set{'' if sets == 1 else 's'}"
