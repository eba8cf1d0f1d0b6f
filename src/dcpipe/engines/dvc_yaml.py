"""dvc.yaml files: the graph as DVC reads it, one stage a job. Views are left out.

The default experiment's jobs stand in the root's dvc.yaml, which is in git. Another experiment's stand in
experiments/<name>/dvc.yaml. That file is written when the experiment is first run or asked for, and is in git only
where somebody adds it. But git must never ignore it: DVC refuses an ignored dvc.yaml. All stages run in the root.

DVC wants each output in one dvc.yaml. The rule: an experiment's file holds its jobs that no other dvc.yaml of the
project holds. The default's jobs are always in the root's file; a job that several other experiments share stays in the
file that has it first. `dvc VERB --with-deps FILE` finds all of them through their outputs.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import yaml

from dcpipe.engines import dvc_lock
from dcpipe.errors import RefusedError
from dcpipe.params import params_files, shipped, shipped_copies
from dcpipe.provenance.durable import write_atomically
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT, STAGES

HEAD = "# Written by `dcpipe graph export` from params/ and the graph; do not edit.\n"
ROOT_FILE = "dvc.yaml"
WDIR = "../.."  # the root, as a file in experiments/<name>/ names it

Stages = Mapping[str, Mapping[str, object]]


def experiment_dvc_yaml(experiment: str) -> str:
    """The dvc.yaml that names an experiment; with its dependencies it is the whole experiment."""
    return ROOT_FILE if experiment == DEFAULT_EXPERIMENT else f"experiments/{experiment}/dvc.yaml"


def exported_experiments(root: Path) -> list[str]:
    """The default experiment (in a project, if it was run), and every other one whose dvc.yaml is there."""
    there = {path.parent.name for path in root.glob("experiments/*/dvc.yaml")}
    has_default = (root / ROOT_FILE).is_file() or not shipped.is_project(root)
    others = sorted(there & set(params_files.available_names(root, "experiments")) - {DEFAULT_EXPERIMENT})
    return [DEFAULT_EXPERIMENT, *others] if has_default else others


def expected_texts(graph: Graph, experiments: Iterable[str]) -> dict[str, str]:
    """What the files of these experiments must say, and other files that hold a job of theirs otherwise, by path.

    Raises: UserError for bad params, or a file that is no dvc.yaml.
    """
    jobs = {name: {job.name: job for job in graph.experiment_jobs(name) if not job.is_view} for name in experiments}
    held = _stages_by_file(graph.root)
    for name, own in jobs.items():
        path = experiment_dvc_yaml(name)
        held[path] = {job: stage for job, stage in held.get(path, {}).items() if job in own}
    found: dict[str, str] = {}
    for name in sorted(jobs, key=lambda name: (name != DEFAULT_EXPERIMENT, name)):
        path = experiment_dvc_yaml(name)
        elsewhere = {job for other, stages in held.items() if other != path for job in stages}
        if name == DEFAULT_EXPERIMENT:
            elsewhere = set()
        held[path] = {job.name: _stage(job, path) for job in jobs[name].values() if job.name not in elsewhere}
        found[path] = _text(held[path])
    every = {name: job for own in jobs.values() for name, job in own.items()}
    for path in held.keys() - found.keys():
        wanted = {name: _stage(every[name], path) for name in held[path] if name in every}
        if any(held[path][name] != stage for name, stage in wanted.items()):
            found[path] = _text({**held[path], **wanted})
    return found


def outdated_files(graph: Graph, experiments: Iterable[str]) -> dict[str, str]:
    """The files of `expected_texts` that are missing or say something else, with what they must say."""
    wanted = expected_texts(graph, experiments)
    differ = (path for path in wanted if not _has_text(graph.root / path, wanted[path]))
    return {path: wanted[path] for path in sorted(differ)}


def export_dvc_yaml(root: Path, experiment: str | None = None) -> list[str]:
    """Write the dvc.yaml of an experiment; of the default, or of none, those of all `exported_experiments`.

    With the latter, files of experiments that are no more are removed; their dvc.lock stays. Returns the paths that
    changed.
    """
    every = experiment in {None, DEFAULT_EXPERIMENT}
    experiments = [experiment] if experiment else []
    graph, experiments = (
        Graph(root),
        list(dict.fromkeys([*experiments, *(exported_experiments(root) if every else ())])),
    )
    changed = outdated_files(graph, experiments)
    written = _write(graph, experiments, changed)
    gone = _dvc_yaml_without_experiment(root) if every else []
    for path in gone:
        (root / path).unlink()
    return [*written, *gone]


def export_untracked(graph: Graph, experiment: str) -> list[str]:
    """Write the dvc.yaml files that hold an experiment's jobs; returns the paths that changed.

    In a source tree the root's dvc.yaml is in git, and only `export_dvc_yaml` writes it: when somebody asks.
    """
    in_git = set() if shipped.is_project(graph.root) else {ROOT_FILE}
    changed = {path: text for path, text in outdated_files(graph, [experiment]).items() if path not in in_git}
    return _write(graph, [experiment], changed)


def bring_up_to_date(graph: Graph, experiment: str) -> None:
    """Do what `export_untracked` does.

    Raises: RefusedError if the root's dvc.yaml holds a job of the experiment, and differs from params and graph.
    """
    changed = outdated_files(graph, [experiment])
    if ROOT_FILE in changed and not shipped.is_project(graph.root):
        raise _outdated_error([ROOT_FILE])
    _write(graph, [experiment], changed)


def check_dvc_yaml(root: Path) -> None:
    """Raises: RefusedError if the root's dvc.yaml, or another one that is there, differs from params and graph."""
    paths = list(outdated_files(Graph(root), exported_experiments(root)))
    if paths:
        raise _outdated_error(paths)
    gone = _dvc_yaml_without_experiment(root)
    if gone:
        raise RefusedError("belongs to no experiment", where=", ".join(gone), remedy="run `dcpipe graph export`")


def files_with_jobs(root: Path, jobs: Iterable[Job]) -> list[str]:
    """The files that hold any of these jobs."""
    names = {job.name for job in jobs}
    return sorted(path for path, stages in _stages_by_file(root).items() if not names.isdisjoint(stages))


def _outdated_error(paths: list[str]) -> RefusedError:
    remedy = "run `dcpipe graph export`"
    return RefusedError("differs from params and graph", where=", ".join(paths), remedy=remedy)


def _write(graph: Graph, experiments: Iterable[str], changed: Mapping[str, str]) -> list[str]:
    """Write these files, and what they need: DVC reads every value at its place below the root.

    Returns the paths that changed.
    """
    for path, text in changed.items():
        write_atomically(graph.root / path, text.encode())
    jobs = [job for name in experiments for job in graph.experiment_jobs(name)]
    copies = shipped_copies.write_copies(graph.root, {file for job in jobs for file in (*job.params, *job.neutral)})
    return [*changed, *copies, *_add_neutral(graph, experiments)]


def _dvc_yaml_without_experiment(root: Path) -> list[str]:
    """Files that this module wrote for experiments that are no more."""
    paths = [str(path.relative_to(root)) for path in sorted(root.glob("experiments/*/dvc.yaml"))]
    wanted = {experiment_dvc_yaml(name) for name in exported_experiments(root)}
    return [path for path in paths if path not in wanted and (root / path).read_text().startswith(HEAD)]


def _stages_by_file(root: Path) -> dict[str, dict[str, dict[str, object]]]:
    """The stages of every dvc.yaml there is, by path; those of no experiment left out."""
    gone = set(_dvc_yaml_without_experiment(root))
    files = [file for file in (root / ROOT_FILE, *sorted(root.glob("experiments/*/dvc.yaml"))) if file.is_file()]
    paths = [str(file.relative_to(root)) for file in files]
    return {path: dvc_lock.read_stages(root / path) for path in paths if path not in gone}


def _has_text(file: Path, text: str) -> bool:
    return file.is_file() and file.read_text() == text


def _text(stages: Stages) -> str:
    """The file. What jobs have in common is written once: see `dvc_lock`."""
    shared = dvc_lock.SharedValues()
    written = {name: shared.share_params(stage) for name, stage in stages.items()}
    return HEAD + yaml.dump({"stages": written}, Dumper=dvc_lock.DUMPER, sort_keys=False, width=1000)


def _stage(job: Job, path: str) -> dict[str, object]:
    stage = STAGES[job.stage]
    kinds: dict[str, list[object]] = {"outs": [], "metrics": [], "plots": []}
    for name, output in job.outputs.items():
        payload = stage.payload(name)
        if payload and payload.plot:
            kinds["plots"].append({output: dict(zip("xy", payload.plot, strict=True))})
        else:
            kinds["metrics" if payload and payload.is_metrics else "outs"].append(output)
    deps = sorted({path for paths in job.inputs.values() for path in paths})
    return {
        "cmd": job.command,
        **({} if path == ROOT_FILE else {"wdir": WDIR}),
        **({"deps": deps} if deps else {}),
        "params": [{file: keys} for file, keys in _watched_keys(job).items()],
        **{kind: paths for kind, paths in kinds.items() if paths},
    }


def _watched_keys(job: Job) -> dict[str, list[str]]:
    """The keys that DVC watches, by file: also those that are stated "as before", or it would not see them set."""
    files = sorted(job.params.keys() | job.neutral.keys())
    return {file: sorted(job.params.get(file, {}).keys() | job.neutral.get(file, {}).keys()) for file in files}


def _add_neutral(graph: Graph, experiments: Iterable[str]) -> list[str]:
    """Give jobs that were recorded before a knob existed the value that means "as before", in their dvc.lock.

    Returns the paths that changed.
    """
    neutral = {job.name: job.neutral for name in experiments for job in graph.experiment_jobs(name) if job.neutral}
    changed = []
    for path, stages in _stages_by_file(graph.root).items() if neutral else ():
        lock = Path(path).with_suffix(".lock")
        own = {name: values for name, values in neutral.items() if name in stages}
        if dvc_lock.add_params(graph.root / lock, own):
            changed.append(str(lock))
    return changed
