"""`dcpipe init`: a folder in which experiments are written, run and recorded."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from dcpipe.errors import DcpipeError, UserError
from dcpipe.params import file_schema, params_files, shipped
from dcpipe.provenance.durable import write_atomically

EXAMPLES = ("digits", "folder")
PHOTOGRAPHS = "digit-photographs"  # the folder of the example, and the names of what describes it

UNFINISHED = ".dcpipe/unfinished"  # there from the first file to the last: such a folder may be begun again
PROJECT = """# This folder is a dcpipe project; the file's only use is to say so.
format: 1
"""
SNAKEFILE = """# The workflow comes with dcpipe; add rules of your own below.
from dcpipe.params.shipped import shipped_folder

config.setdefault("experiment", "{experiment}")


include: str(shipped_folder() / "Snakefile")


rule project:  # what plain `snakemake` makes
    default_target: True
    input:
        rules.all.input,
"""
IGNORED = """# everything a rule makes: artifacts are versioned by DVC, views are made again
/artifacts/
/results/
/costs/
/logs/
/benchmarks/jobs/
/state/
.snakemake/

# where this machine keeps its data, and where definitions in params/ were written from
/local.yaml
/.dcpipe/
"""
DVC_IGNORED = """# Snakemake drops this mark into every folder that is an output
.snakemake_timestamp
# what a killed run left; never part of an artifact
.dcpipe-tmp-*
"""
EXAMPLE = """# yaml-language-server: $schema=../../{schema}
title: Handwritten digits from image files
description: The example of a folder of images. Copy this file, and put your own folder into it.
datasets:
  {name}:
    description: scikit-learn's digits as PNG files, a folder per class.
    # the folder's place on this machine stands in local.yaml
    source: {{kind: folder, name: {name}, classes: 10, channels: 1, image_size: 8, digest: null}}
    split: {{seed: 0, test_per_class: 40, validation_per_class: 0, train_per_class: null}}
    standardise: {{kind: from-train}}
    whitening: {{kind: none}}
    network: convnet2-w16
experts:                         # networks trained on the real images
  {name}-plain: {{base: plain, count: 4, shard_experts: 2, epochs: 6, batch: 64}}
presets:                         # what is not said here is as in the shipped preset mtt
  {name}-mtt:
    base: mtt
    matching: {{experts: {name}-plain, segment: {{max_start_epoch: 4}}, inner_steps: 10}}
    outer: {{iterations: 100, snapshot_every: 50}}
runs:
  - {{datasets: [{name}], methods: [random, {name}-mtt], ipc: [1], sets: 2, evaluations: [digits], networks: [native]}}
"""


def init(folder: Path, example: str, say: Callable[[str], None]) -> None:
    """Make a project that runs: params/, Snakefile, profiles/, git and DVC; says what to do next.

    One that was killed, or failed, goes on. Raises: UserError for an unknown example, or a folder that holds other
    things; DcpipeError if git or DVC fails.
    """
    if example not in EXAMPLES:
        raise UserError(f"there is no example {example!r}", where="--example", remedy=f"choose {' or '.join(EXAMPLES)}")
    _refuse_other_content(folder)
    experiment = PHOTOGRAPHS if example == "folder" else "digits"
    _write_files(folder, experiment)
    file_schema.write_schemas(folder / file_schema.FOLDER)
    if example == "folder":
        _write_photographs(folder)
    _start_versioning(folder)
    _mark_finished(folder)
    enter = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    say(f"{folder} is a project. Next: `{enter}snakemake --cores all` runs {experiment}, from images to a report")


def init_unversioned(folder: Path) -> None:
    """Make a project without git and DVC, which `dcpipe doctor` then says how to add.

    Raises: UserError for a folder that holds other things, or that cannot be written.
    """
    try:
        _refuse_other_content(folder)
        _write_files(folder, "digits")
        _mark_finished(folder)
    except OSError as error:
        remedy = "free some disk space, or choose a folder that you may write to"
        raise UserError(f"cannot be written ({error.strerror})", where=str(folder), remedy=remedy) from error


def update(folder: Path, say: Callable[[str], None]) -> None:
    """Bring a project's copies of the profiles up to date with this version. Raises: UserError if it is no project."""
    if not shipped.is_project(folder):
        raise UserError("is not a dcpipe project", where=str(folder), remedy="make one: `dcpipe init FOLDER`")
    file_schema.write_schemas(folder / file_schema.FOLDER)
    changed = copy_profiles(folder)
    say(f"wrote {', '.join(changed)}" if changed else "the profiles are up to date")


def copy_profiles(folder: Path) -> list[str]:
    """Copy the shipped profiles; returns the paths that changed."""
    changed = []
    for source in sorted(path for path in (shipped.shipped_folder() / "profiles").rglob("*") if path.is_file()):
        path = folder / source.relative_to(shipped.shipped_folder())
        if not path.is_file() or path.read_bytes() != source.read_bytes():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, path)
            changed.append(str(path.relative_to(folder)))
    return changed


def _refuse_other_content(folder: Path) -> None:
    if folder.is_file():
        raise UserError("is a file", where=str(folder), remedy="name a folder that does not exist, or an empty one")
    if shipped.is_project(folder):
        remedy = "use it, or refresh its profiles: `dcpipe init --update FOLDER`"
        raise UserError("is a project already", where=str(folder), remedy=remedy)
    if (folder / UNFINISHED).is_file():
        return
    known = {".git", ".gitignore", "README.md", "LICENSE"}
    others = sorted(path.name for path in folder.iterdir() if path.name not in known) if folder.is_dir() else []
    if others:
        raise UserError(f"is not empty ({others[0]})", where=str(folder), remedy="name a new or an empty folder")


def _write_files(folder: Path, experiment: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / UNFINISHED, b"")
    files = {
        "Snakefile": SNAKEFILE.format(experiment=experiment),
        ".gitignore": IGNORED,
        ".dvcignore": DVC_IGNORED,
    }
    for name, text in files.items():
        write_atomically(folder / name, text.encode())
    for section in params_files.SECTIONS:
        (folder / "params" / section).mkdir(parents=True, exist_ok=True)
    copy_profiles(folder)


def _mark_finished(folder: Path) -> None:
    write_atomically(folder / shipped.MARKER, PROJECT.encode())
    (folder / UNFINISHED).unlink()


def _write_photographs(folder: Path) -> None:
    """The example's images as files, where they are, and the experiment of them."""
    import numpy as np
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    place = folder / "photographs" / PHOTOGRAPHS
    for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = place / str(label) / f"{number:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((image * 255 / 16).round().astype(np.uint8)).save(path)
    write_atomically(folder / "local.yaml", b"data_root: photographs\n")
    experiment = folder / "params" / "experiments" / f"{PHOTOGRAPHS}.yaml"
    write_atomically(
        experiment, EXAMPLE.format(name=PHOTOGRAPHS, schema=file_schema.FOLDER + "/experiments.json").encode()
    )


def _start_versioning(folder: Path) -> None:
    inside = _call(folder, "git", "rev-parse", "--is-inside-work-tree", check=False).returncode == 0
    if not inside:
        _call(folder, "git", "init", "--quiet")
    own = _call(folder, "git", "rev-parse", "--show-prefix").stdout.strip() == ""
    if not (folder / ".dvc").is_dir():
        _call(folder, sys.executable, "-m", "dvc", "init", "--quiet", *([] if own else ["--subdir"]))
    for key, value in (("core.analytics", "false"), ("core.check_update", "false"), ("core.autostage", "false")):
        _call(folder, sys.executable, "-m", "dvc", "config", key, value)
    _call(folder, sys.executable, "-m", "dvc", "config", "cache.type", "reflink,copy")


def _call(folder: Path, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise DcpipeError(f"{command[0]} cannot be started", remedy="install git, then start again") from error
    if check and done.returncode:
        last = (done.stderr.strip() or done.stdout.strip() or "no message").splitlines()[-1]
        is_dvc = command[0] == sys.executable
        name = " ".join(command[2:] if is_dvc else command)
        engines = "install the engines: `pip install 'dcpipe[engines]'`"
        remedy = engines if is_dvc and "No module" in last else "correct that, then run the same command again"
        raise DcpipeError(f"`{name}` failed: {last}", where=str(folder), remedy=remedy)
    return done
