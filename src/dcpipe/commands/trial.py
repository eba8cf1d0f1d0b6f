"""One version of the code's part in `dcpipe equivalent`: which jobs it has, and the bytes that it makes of one.

    python -m dcpipe.commands.trial ANSWER.json '{"experiments": ["tiny"]}'
    python -m dcpipe.commands.trial ANSWER.json '{"run": {...}}'

Runs in the folder that holds this version's params. Both versions speak through files, so that neither needs to know
how the other is built. A version that has no such module runs this file.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import field, replace
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from dcpipe import progress
from dcpipe.commands.rehearsal.made_up import World
from dcpipe.commands.rehearsal.shapes import cut
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.params.strict_yaml import read
from dcpipe.provenance import artifact, card, code_identity
from dcpipe.workflow.execution import execute
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

PER_CLASS, TESTED = 8, 40  # made-up images, where the real ones are not here


@dataclass(frozen=True)
class Request:
    """A job to run: its artifact goes to `folder`, and its inputs lie below `inputs`.

    `steps` None is the whole job; `made_up` says that inputs are made up where they are missing.
    """

    stage: str
    wildcards: dict[str, str]
    inputs: str
    folder: str
    steps: int | None
    made_up: bool


@dataclass(frozen=True)
class Question:
    """Of which experiments to list the jobs, or which job to run."""

    experiments: list[str] = field(default_factory=list)
    run: Request | None = None


@dataclass(frozen=True)
class Planned:
    """A job's param values, as one text, and what it names of the identity file."""

    params: str
    code: dict[str, str]


@dataclass(frozen=True)
class Answer:
    """What was asked for, or the `problem` that came up.

    `recorded` is what the identity file says, `now` what it should say; `files` are size and SHA-256 by path, of the
    `whole` job or of a shorter one, and `machine` the class of software and hardware.
    """

    problem: str | None = None
    jobs: dict[str, Planned] = field(default_factory=dict)
    recorded: dict[str, str] = field(default_factory=dict)
    now: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[int, str]] = field(default_factory=dict)
    whole: bool = True
    machine: dict[str, str] = field(default_factory=dict)


def planned(job: Job) -> Planned:
    """What a version has to say of a job."""
    params = {file: dict(values) for file, values in job.params.items() if file != card.CODE_FILE}
    code = {name: str(value) for name, value in job.params[card.CODE_FILE].items()}
    return Planned(json.dumps(params, sort_keys=True), code)


def _plan(experiments: list[str]) -> Answer:
    graph, found = Graph(Path()), dict[str, Job]()
    for name in experiments:
        found |= {job.name: job for job in graph.jobs(name) if not job.is_view}
    path = Path(code_identity.FILE)
    recorded = code_identity.flat(read(path)) if path.is_file() else {}
    now = code_identity.flat(code_identity.content(Path()))
    return Answer(
        jobs={name: planned(job) for name, job in found.items()},
        recorded={name: str(value) for name, value in recorded.items()},
        now={name: str(value) for name, value in now.items()},
    )


def _run(request: Request) -> Answer:
    graph, root = Graph(Path()), Path(request.inputs)
    job = graph.job(request.stage, **request.wildcards)
    if request.made_up:
        job = World(graph, root, PER_CLASS, TESTED).provide(job)
    sections = {} if request.steps is None else _shorter(job, request.steps, made_up=request.made_up)
    short = replace(job, sections={**job.sections, **sections})
    made = execute(short, root, folder=Path(request.folder), keep_state=False)
    files = {entry.path: (entry.size, entry.sha256) for entry in artifact.entries_of(made)}
    machine = {key: str(value) for key, value in card.software(job).items()}
    return Answer(files=files, whole=not sections, machine=machine)


def _shorter(job: Job, steps: int, *, made_up: bool) -> Mapping[str, object]:
    """Sections of fewer steps, each as it is: unlike in a rehearsal, images and step size move as in the real job."""
    method, evaluation = job.sections.get("method"), job.sections.get("evaluation")
    sections: Mapping[str, object] = {}
    if job.stage == "distill" and isinstance(method, Method) and method.outer:
        outer = replace(method.outer, iterations=steps, snapshot_every=1)
        rehearsed = cut(job, steps)["method"]
        if made_up and isinstance(rehearsed, Method) and rehearsed.outer:
            images = replace(outer.images, initial=rehearsed.outer.images.initial)
            outer = replace(outer, images=images, labels=rehearsed.outer.labels)
        sections = {"method": replace(method, outer=outer)}
    elif job.stage == "evaluate" and isinstance(evaluation, Evaluation) and not made_up:
        few = min(evaluation.networks, evaluation.side_by_side)
        sections = {"evaluation": replace(evaluation, networks=few, epochs=steps)}
    elif job.stage in {"experts", "evaluate"}:
        sections = cut(job, steps)
    return sections


def main(answer: str, question: str) -> None:
    """Answer a question in a file; whatever goes wrong is the answer too."""
    progress.be_quiet()
    try:
        asked = TypeAdapter(Question).validate_json(question)
        found = _run(asked.run) if asked.run else _plan(asked.experiments)
    except Exception as error:
        found = Answer(problem=str(error).partition("\n")[0] or type(error).__name__)
    Path(answer).write_bytes(TypeAdapter(Answer).dump_json(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
