"""`dcpipe reference`: the digests of what every job of a finished experiment wrote, as one small JSON file.

The file holds, for each job's folder, the MD5 that DVC records of each payload (of a folder the MD5 of its list of
files, ending in `.dir`). Cards are left out: they hold the code's identity, which may change while no byte does.
"""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcpipe.commands.verify import Finding, dvc_md5, locked_digests, verify_job
from dcpipe.errors import RefusedError, UserError
from dcpipe.provenance import artifact, staleness
from dcpipe.workflow.graph import Graph

FORMAT = 1
FOLDER = Path("benchmarks/results")


@dataclass(frozen=True, slots=True)
class Reference:
    """The digests of one experiment: job folder -> output's file name -> MD5; and the machine, as text."""

    experiment: str
    made_on: str
    digests: Mapping[str, Mapping[str, str]]

    @property
    def digests_by_path(self) -> dict[str, str]:
        """The MD5 of each output, by its path."""
        return {f"{folder}/{name}": md5 for folder, files in self.digests.items() for name, md5 in files.items()}


def reference_path(experiment: str) -> Path:
    """Where the file of an experiment lies, relative to the repository."""
    return FOLDER / f"{experiment}-digests.json"


def reference_text(root: Path, experiment: str, note: str = "") -> str:
    """The file's content, one line per job: from the artifact where it is there, otherwise from dvc.lock.

    Raises: RefusedError if an artifact does not match its card, params and code, or a job is in neither place.
    """
    locked = locked_digests(root)
    digests: dict[str, dict[str, str]] = {}
    classes: dict[str, object] = {}
    for job in Graph(root).experiment_jobs(experiment):
        if job.is_view:
            continue
        paths = {name: path for name, path in job.outputs.items() if name != "card"}
        if (root / job.folder / artifact.CARD).is_file():
            problem = staleness.staleness_problem(job, root)
            if problem:
                raise RefusedError(problem, remedy=f"run `snakemake --config experiment={experiment}` first")
            md5s = {path: dvc_md5(artifact.verify_payload(root / path, every_digest=True)) for path in paths.values()}
            made_on = artifact.read_card(root / job.outputs["card"]).get("class")
            classes[json.dumps(made_on, sort_keys=True)] = made_on
        else:
            md5s = _recorded_digests(list(paths.values()), locked)
        digests[str(job.folder)] = {Path(path).name: md5 for path, md5 in md5s.items()}
    head = {
        "format": FORMAT,
        "experiment": experiment,
        "commit": _head_commit(root),
        "note": note,
        "classes": [classes[key] for key in sorted(classes)],
    }
    lines = [f" {json.dumps(key)}: {json.dumps(value)}" for key, value in head.items()]
    rows = [f"  {json.dumps(folder)}: {json.dumps(files, sort_keys=True)}" for folder, files in sorted(digests.items())]
    return "{\n" + ",\n".join(lines) + ',\n "digests": {\n' + ",\n".join(rows) + "\n }\n}\n"


def read_reference(file: Path, experiment: str) -> Reference:
    """The reference in a file.

    Raises: UserError if the file cannot be read, has another format, or is of another experiment.
    """
    remedy = "write one with `dcpipe reference EXPERIMENT --to FILE`"
    try:
        tree = json.loads(file.read_text())
        number, name = tree["format"], str(tree["experiment"])
        made_on = str(tree["note"] or json.dumps(tree["classes"]))
        rows = {folder: {str(name): str(md5) for name, md5 in own.items()} for folder, own in tree["digests"].items()}
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file), remedy=remedy) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError("does not contain reference digests", where=str(file), remedy=remedy) from error
    if number != FORMAT:
        problem = f"has format {number}; this dcpipe reads format {FORMAT}"
        raise UserError(
            problem, where=str(file), remedy="upgrade dcpipe, or write the file again with `dcpipe reference`"
        )
    if name != experiment:
        remedy = f"run `dcpipe verify {name} --reference {file}`"
        raise UserError(f"is the reference of {name}, not of {experiment}", where=str(file), remedy=remedy)
    return Reference(name, made_on, rows)


def compare_with_reference(graph: Graph, reference: Reference, where: str) -> list[Finding]:
    """Compare every payload of the reference's experiment with its card and with the reference, job by job.

    A job that only one of the two has is a note: there is nothing to compare it with.
    """
    recorded, jobs = reference.digests_by_path, {}
    for job in graph.experiment_jobs(reference.experiment):
        if not job.is_view:
            jobs[str(job.folder)] = job
    findings: list[Finding] = []
    for folder, job in jobs.items():
        one = verify_job(job, graph.root, recorded, where)
        if folder not in reference.digests:
            one = Finding(job.name, one.problem, f"is not in {where}")
        elif one.problem:
            one = Finding(job.name, one.problem, f"the reference was made on: {reference.made_on}")
        findings.append(one)
    gone = reference.digests.keys() - jobs.keys()
    return [*findings, *(Finding(folder, None, "is not a job of this experiment any more") for folder in sorted(gone))]


def _recorded_digests(paths: list[str], locked: Mapping[str, str]) -> dict[str, str]:
    missing = [path for path in paths if path not in locked]
    if missing:
        remedy = "run the experiment to the end first"
        raise RefusedError("has no artifact and no entry in dvc.lock", where=missing[0], remedy=remedy)
    return {path: locked[path] for path in paths}


def _head_commit(root: Path) -> str | None:
    """The commit that is checked out; None outside git."""
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
