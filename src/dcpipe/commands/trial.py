"""One version of the code's part in `dcpipe equivalent`: which jobs it has, and the bytes that it makes of one.

    python -m dcpipe.commands.trial OUTCOME.json '{"experiments": ["tiny"]}'
    python -m dcpipe.commands.trial OUTCOME.json '{"run": {...}}'

Runs in the folder that holds this version's params. Both versions speak through files, so that neither needs to know
how the other is built. A version that has no such module runs this file.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from pydantic import Field, TypeAdapter
from pydantic.dataclasses import dataclass

from dcpipe import progress
from dcpipe.commands.rehearsal.job_kinds import shortened_sections
from dcpipe.commands.rehearsal.noise_inputs import NoiseInputs
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import artifact, card, code_identity
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

PER_CLASS, TESTED = 8, 40  # noise images, where the real ones are not here


@dataclass(frozen=True)
class TrialRequest:
    """A job to run: its artifact goes to `folder`, and its inputs lie below `inputs`.

    `steps` None is the whole job; `noise_inputs` says that noise takes the place of missing inputs.
    """

    stage: str
    wildcards: dict[str, str]
    inputs: str
    folder: str
    steps: int | None
    noise_inputs: bool = Field(alias="made_up")  # older versions know it by this name


@dataclass(frozen=True)
class TrialOptions:
    """Of which experiments to list the jobs, or which job to run."""

    experiments: list[str] = field(default_factory=list)
    run: TrialRequest | None = None


@dataclass(frozen=True)
class TrialPlan:
    """A job's param values, as one text, and what it names of the identity file."""

    params: str
    code: dict[str, str]


@dataclass(frozen=True)
class TrialOutcome:
    """What was asked for, or the `problem` that came up.

    `recorded` is what the identity file says, `now` what it should say; `files` are size and SHA-256 by path, of the
    `whole` job or of a shorter one, and `machine` the class of software and hardware.
    """

    problem: str | None = None
    jobs: dict[str, TrialPlan] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    whole: bool = True
    machine: dict[str, str] = field(default_factory=dict)


def trial_plan(job: Job) -> TrialPlan:
    """What a version has to say of a job."""
    params = {file: dict(values) for file, values in job.params.items() if file != card.CODE_FILE}
    code = {name: str(value) for name, value in job.params[card.CODE_FILE].items()}
    return TrialPlan(json.dumps(params, sort_keys=True), code)


def _plan(experiments: list[str]) -> TrialOutcome:
    graph, found = Graph(Path()), dict[str, Job]()
    for name in experiments:
        found |= {job.name: job for job in graph.experiment_jobs(name) if not job.is_view}
    path = Path(code_identity.FILE)
    recorded = code_identity.flat_leaves(read_yaml(path)) if path.is_file() else {}
    now = code_identity.flat_leaves(code_identity.identity_tree(Path()))
    return TrialOutcome(
        jobs={name: trial_plan(job) for name, job in found.items()},
        recorded={name: str(value) for name, value in recorded.items()},
        now={name: str(value) for name, value in now.items()},
    )


def _run(request: TrialRequest) -> TrialOutcome:
    graph, root = Graph(Path()), Path(request.inputs)
    job = graph.make_job(request.stage, **request.wildcards)
    if request.noise_inputs:
        per_class = max(PER_CLASS, int(request.wildcards.get("ipc", 1)))
        job = NoiseInputs(graph, root, per_class, TESTED).provide(job)
    sections = (
        {} if request.steps is None else _shortened_sections(job, request.steps, noise_inputs=request.noise_inputs)
    )
    short = replace(job, sections={**job.sections, **sections})
    made = execute_job(short, root, folder=Path(request.folder), keep_state=False)
    files = {entry.path: (entry.size, entry.sha256) for entry in artifact.card_entries(made)}
    machine = {key: str(value) for key, value in card.machine_class(job).items()}
    return TrialOutcome(files=files, whole=not sections, machine=machine)


def _shortened_sections(job: Job, steps: int, *, noise_inputs: bool) -> Mapping[str, object]:
    """Sections of fewer steps, each as it is: unlike in a rehearsal, images and step size move as in the real job."""
    method, evaluation = job.sections.get("method"), job.sections.get("evaluation")
    sections: Mapping[str, object] = {}
    if job.stage == "distill" and isinstance(method, Method) and method.outer:
        outer = replace(method.outer, iterations=steps, snapshot_every=1)
        rehearsed = shortened_sections(job, steps)["method"]
        if noise_inputs and isinstance(rehearsed, Method) and rehearsed.outer:
            images = replace(outer.images, initial=rehearsed.outer.images.initial)
            outer = replace(outer, images=images, labels=rehearsed.outer.labels)
        sections = {"method": replace(method, outer=outer)}
    elif job.stage == "evaluate" and isinstance(evaluation, Evaluation) and not noise_inputs:
        few = min(evaluation.networks, evaluation.side_by_side)
        sections = {"evaluation": replace(evaluation, networks=few, epochs=steps)}
    elif job.stage in {"experts", "evaluate"}:
        sections = shortened_sections(job, steps)
    return sections


def main(outcome_file: str, options: str) -> None:
    """Do what the options (JSON) ask for, and write the outcome to a file; whatever goes wrong is the outcome too."""
    progress.be_quiet()
    try:
        request = TypeAdapter(TrialOptions).validate_json(options)
        found = _run(request.run) if request.run else _plan(request.experiments)
    except Exception as error:
        found = TrialOutcome(problem=str(error).partition("\n")[0] or type(error).__name__)
    Path(outcome_file).write_bytes(TypeAdapter(TrialOutcome).dump_json(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
