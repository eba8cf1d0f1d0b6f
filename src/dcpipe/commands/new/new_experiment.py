"""`dcpipe new`: looks at a folder of photographs and writes an experiment for it, sized for this machine."""

import json
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dcpipe import device
from dcpipe.commands.new import sizing
from dcpipe.commands.new.experiment_text import experiment_text, summary, time_text
from dcpipe.commands.new.sizing import Design, Prediction, TimeBudget
from dcpipe.commands.new.survey import Survey, survey
from dcpipe.data import location
from dcpipe.errors import UserError
from dcpipe.params import experiment_file, file_schema, params_files, shipped
from dcpipe.params.strict_yaml import Tree, parse_yaml, read_yaml
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.stages import NAME

BROUGHT = {  # the names that the file takes in each section
    "datasets": ("{}",),
    "experts": ("{}-experts",),
    "methods": ("{}-dm", "{}-mtt"),
    "evaluations": ("{}-scores",),
    "experiments": ("{}",),
}


@dataclass(frozen=True, slots=True)
class _SizedDesign:
    """A design and what it takes here; `within` says whether it keeps to the time that there is."""

    design: Design
    prediction: Prediction
    within: bool


def write_experiment(
    root: Path, photographs: Path, name: str | None, minutes: float, say: Callable[[str], None]
) -> Path:
    """Write NAME.yaml and, in local.yaml, where the photographs are. Returns the path of the experiment's file.

    Args: `minutes` is how long the experiment may take on all cores of this machine.
    Nothing is written unless both can be. Raises: UserError for a folder that no experiment can be made of, a name
    that is taken, or a folder that is no project.
    """
    shipped.require_project(root)
    folder = photographs.expanduser()
    chosen = name if name is not None else name_of(folder)
    path = root / f"{chosen}.yaml"
    _refuse_name(root, path, chosen)
    local = local_yaml_text(root, chosen, folder)
    found = survey(folder)
    say(f"{folder}: {summary(found)}")
    _report_unusable(found, say)
    allowance = TimeBudget(60 * minutes, sizing.cores())
    sized = _fit_design(found, allowance)
    jobs = _write(root, path, experiment_text(chosen, found, sized.design, sized.prediction, allowance))
    file_schema.write_schemas(root / file_schema.FOLDER)
    if local is not None:
        write_atomically(root / location.FILE, local.encode())
    design, counts = sized.design, " and ".join(str(ipc) for ipc in sized.design.ipc)
    say(
        f"wrote {path}: {jobs} jobs at {design.image_size}x{design.image_size} pixels with {design.network}: random "
        f"images, DM and MTT, {counts} per class; {location.FILE} says where the images are"
    )
    say(time_text(sized.prediction, allowance.cores))
    if not sized.within:
        say(f"that is longer than {minutes:g} min, but a smaller experiment would show nothing")
    say(f"next: `snakemake --cores all --config experiment={path}`, or `dcpipe run {path}`, one job after the other")
    return path


def name_of(folder: Path) -> str:
    """An experiment's name from a folder's: small letters and digits with single hyphens. Raises: UserError."""
    text = unicodedata.normalize("NFKD", folder.resolve().name).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", text).strip("-")
    if not name:
        raise UserError(
            "no experiment can be named after this folder", where=str(folder), remedy="give a name: --name NAME"
        )
    return name


def _refuse_name(root: Path, path: Path, name: str) -> None:
    """Raises: UserError for a name that is none, or that a file of params/ or of this folder has."""
    if not re.fullmatch(NAME, name):
        problem = f"{name!r} is not a valid name: write lower-case letters and digits, with single hyphens between them"
        raise UserError(problem, where="--name", remedy="choose another name")
    if path.exists():
        raise UserError("exists already", where=str(path), remedy="remove it, or choose another name with --name")
    for section, patterns in BROUGHT.items():
        for taken in (pattern.format(name) for pattern in patterns):
            if params_files.file_path(root, section, taken).is_file():
                where = params_files.section_file_path(section, taken)
                raise UserError(f"the name {taken} is taken", where=where, remedy="choose another name with --name")


def local_yaml_text(root: Path, name: str, folder: Path) -> str | None:
    """What local.yaml must say so that the folder is found under this name; None if it says so already.

    Raises: UserError if it says something else, or is written in a way that a line cannot be added to.
    """
    place = folder.resolve()
    base = root.resolve()
    said = str(place.relative_to(base)) if place.is_relative_to(base) and place != base else str(place)
    path = root / location.FILE
    line = f"  {name}: {json.dumps(said, ensure_ascii=False)}"
    if not path.is_file():
        return f"# where data is on this machine\nroots:\n{line}\n"
    roots = read_yaml(path).get("roots") or {}
    if isinstance(roots, dict) and name in roots:
        if (root / str(roots[name])).expanduser().resolve() == place:
            return None
        problem = f"roots.{name} is another folder: {roots[name]}"
        raise UserError(problem, where=location.FILE, remedy="remove that line, or choose another name with --name")
    text = path.read_text(encoding="utf-8")
    lines = text.rstrip("\n").split("\n")
    lines = [*lines[: at + 1], line, *lines[at + 1 :]] if (at := _roots_line(lines)) >= 0 else [*lines, "roots:", line]
    added = "\n".join(lines) + "\n"
    wanted = {**read_yaml(path), "roots": {**(roots if isinstance(roots, dict) else {}), name: said}}
    if _parsed(added) != wanted:
        remedy = f"write `{line.strip()}` below roots there yourself"
        raise UserError("no line can be added to it", where=location.FILE, remedy=remedy)
    return added


def _roots_line(lines: list[str]) -> int:
    return next((number for number, line in enumerate(lines) if re.fullmatch(r"roots:\s*(#.*)?", line)), -1)


def _parsed(text: str) -> Tree | None:
    try:
        return parse_yaml(text, location.FILE)
    except UserError:
        return None


def _report_unusable(survey: Survey, say: Callable[[str], None]) -> None:
    """Preparing the data will refuse these; say it now, and go on."""
    try:
        survey.problems.refuse("fix or remove it, or preparing the data is refused")
    except UserError as error:
        say(str(error))


def _fit_design(survey: Survey, allowance: TimeBudget) -> _SizedDesign:
    """The largest images and network whose experiment keeps to the time that there is; the smallest if none does."""
    device.configure_torch(threads=1)
    chosen, sized = device.choose(), list[_SizedDesign]()
    for size in sizing.image_sizes(survey):
        for network in sizing.NETWORKS[size]:
            speed = sizing.measure_speed(network, len(survey.counts), survey.channels, size, chosen)
            design = sizing.design_for(survey, size, network, speed, allowance)
            within = sizing.fits(design, speed, allowance)
            sized.append(_SizedDesign(design, sizing.predict(design, speed), within))
            if within:
                return sized[-1]
    return sized[-1]


def _write(root: Path, path: Path, text: str) -> int:
    """Write an experiment's file, which must resolve. Returns how many jobs it has."""
    write_atomically(path, text.encode())
    try:
        file = experiment_file.load_experiment(root, str(path))
        return len(Graph(root, file.inline_sections).experiment_jobs(file.name))
    except BaseException:
        path.unlink()
        raise
