"""`dcpipe equivalent`: show that a change of code changes no byte, so that results that are recorded stay current.

The sources of an older commit are unpacked into a folder of their own (no worktree: a killed run would leave it
registered). Every kind of job whose code differs is run by the old and by the new code on this machine, a few steps or
whole, on the artifacts that are here or on noise inputs, and every byte is compared. Only if all are equal it is
recorded. A kind is a stage with a composition: all that its params choose by name, with the modules it runs.
"""

import io
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from dcpipe.commands.trial import TrialOptions, TrialOutcome, TrialRequest, trial_plan
from dcpipe.engines import dvc_yaml
from dcpipe.errors import DcpipeError, RefusedError, UserError
from dcpipe.params import params_files
from dcpipe.provenance import artifact, code_identity, equivalences, source_modules
from dcpipe.provenance.code_identity import Identity
from dcpipe.provenance.equivalences import Change, Code, Equivalences, Evidence, ModuleChange
from dcpipe.provenance.equivalences import EquivalentKind as Record
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

TRIAL_STEPS = 3
ARCHIVED_PATHS = ("src", "params", "constraints.txt", code_identity.FILE, equivalences.FILE)
DESCRIPTIVE_KEYS = {"description", "label", "title", "seed"}  # of a section; they choose nothing


@dataclass(frozen=True, slots=True)
class ChangedJobKind:
    """Jobs that run the same code in the same composition: one of them, how many there are, their older code, and all
    code that is known to make the same bytes as that.
    """

    job: Job
    jobs: int
    old_code: Code
    running_code: Code
    equivalent_codes: Sequence[Code]

    @property
    def changes(self) -> dict[str, Change]:
        """The modules whose digest differs, or that only one of the codes runs."""
        return _changes(self.old_code, self.running_code)

    @property
    def changed_modules_text(self) -> str:
        """The names of the modules that differ from the known code that is nearest to the running one."""
        nearest = min((_changes(code, self.running_code) for code in self.equivalent_codes), key=len)
        return ", ".join(nearest)


@dataclass(frozen=True, slots=True)
class ComparedJobKind:
    """What became of a kind: `problem` says what differs or why it could not be tried."""

    kind: ChangedJobKind
    evidence: Evidence | None
    problem: str | None = None


def _changes(old: Code, new: Code) -> dict[str, Change]:
    names = sorted(old.keys() | new.keys())
    found = {name: Change(old=old.get(name), new=new.get(name)) for name in names}
    return {name: change for name, change in found.items() if change.old != change.new}


def default_commit(root: Path) -> str:
    """The last commit that changed the identity file: the code that results are recorded with. Raises: UserError."""
    found = _git(root, "log", "-1", "--format=%H", "--", code_identity.FILE).decode().strip()
    if not found:
        raise UserError(
            "is not in any commit",
            where=code_identity.FILE,
            remedy="name the commit of the old code: `dcpipe equivalent COMMIT`",
        )
    return found


def record_equivalence(
    root: Path,
    commit: str | None,
    experiments: Sequence[str],
    *,
    whole: bool = False,
    say: Callable[[str], object] = str,
) -> int:
    """Try every kind of job whose code is not that of a commit, and record that all make the same bytes.

    Args: without `experiments`, the kinds are those of the artifacts that are here and were made by that commit's code;
    `say` takes a line per kind, as it is known. Returns how many kinds were tried.
    Raises: UserError if there is no such commit or experiment; RefusedError, with the first reason and nothing written,
    if a byte differs or a kind could not be tried.
    """
    if (root / "src" / "dcpipe").resolve() != source_modules.SOURCE:
        remedy = "run it in the clone that dcpipe is installed from"
        raise UserError("does not hold the code that is running", where=str(root / "src/dcpipe"), remedy=remedy)
    commit = _full_digest(root, commit or default_commit(root))
    with tempfile.TemporaryDirectory(prefix="dcpipe-equivalent-") as name:
        place, old = Path(name).resolve(), Path(name).resolve() / "old"
        _unpack(root, commit, old)
        found, kept = _changed_kinds(root, old, commit, experiments)
        tried = []
        for number, kind in enumerate(found):
            one = _compare_kind(kind, root, old, commit, place / str(number), whole=whole)
            say(_result_line(one))
            tried.append(one)
    wrong = [one for one in tried if one.problem]
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        remedy = "nothing was recorded; fix the code, or let the jobs run again"
        raise RefusedError(f"{wrong[0].problem}{more}", where=wrong[0].kind.job.name, remedy=remedy)
    if tried:
        _record(root, tried, kept)
    return len(tried)


def _full_digest(root: Path, commit: str) -> str:
    """The whole digest of a commit that a person names in any way that git knows. Raises: UserError."""
    asked = ["git", "rev-parse", "--verify", "--quiet", f"{commit}^{{commit}}"]
    done = subprocess.run(asked, cwd=root, capture_output=True, text=True, check=False)
    if done.returncode and not done.stderr.strip():
        remedy = "name a commit, branch or tag of this clone; `git log` lists commits"
        raise UserError(f"there is no commit {commit!r}", where=str(root.resolve()), remedy=remedy)
    return done.stdout.strip() if not done.returncode else _git(root, *asked[1:]).decode().strip()


def _git(root: Path, *arguments: str) -> bytes:
    done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["no message"]
        raise UserError(
            f"git {arguments[0]}: {said[-1]}", where=str(root.resolve()), remedy="run in a git clone, naming a commit"
        )
    return done.stdout


def _unpack(root: Path, commit: str, to: Path) -> None:
    """The sources and params of a commit."""
    listed = _git(root, "ls-tree", "--name-only", commit).decode().splitlines()
    packed = _git(root, "archive", commit, *(name for name in ARCHIVED_PATHS if name in listed))
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(to, filter="data")
    if not (to / "src" / "dcpipe").is_dir():
        raise UserError(f"commit {commit[:12]} has no src/dcpipe", where=str(root.resolve()), remedy="name another")


def _changed_kinds(
    root: Path, old: Path, commit: str, experiments: Sequence[str]
) -> tuple[list[ChangedJobKind], Mapping[str, str]]:
    """The kinds whose code differs, and the digests that the commit's identity file has."""
    graph, identity = Graph(root), Identity.of_running_code(root)
    made = {
        name: [
            job
            for job in graph.experiment_jobs(name)
            if not job.is_view and (experiments or _artifact_exists(job, root))
        ]
        for name in experiments or params_files.available_names(root, "experiments")
    }
    jobs = {job.name: job for members in made.values() for job in members}
    there = params_files.available_names(old, "experiments")
    names = list(experiments) or [name for name in there if made.get(name)]
    outcome = _run_code(old, old / "outcome.json", TrialOptions(experiments=names))
    if outcome.problem:
        problem = f"the code of {commit[:12]} cannot plan these experiments: {outcome.problem}"
        raise RefusedError(problem, remedy="name another commit")
    if outcome.recorded != outcome.now:
        problem = f"{code_identity.FILE} of commit {commit[:12]} does not match the code of that commit"
        raise RefusedError(
            problem, remedy="name the commit that made the results, or one that holds what `dcpipe graph export` wrote"
        )
    found: dict[str, list[ChangedJobKind]] = {}
    for job in jobs.values():
        was = outcome.jobs.get(job.name)
        if was is None or was.params != trial_plan(job).params:
            continue  # other params: the job is stale, whatever the code
        code, running = code_identity.decode_file_entries(was.code), identity.code(job.modules)
        if code == identity.equivalences.oldest(running) or not (experiments or _made_by(job, root, was.code)):
            continue
        if code[equivalences.PINS] != running[equivalences.PINS]:
            problem = f"the pinned versions differ ({code[equivalences.PINS]}; now {running[equivalences.PINS]})"
            raise RefusedError(
                problem, where="constraints.txt", remedy=f"restore it from {commit[:12]}: only code can be compared"
            )
        key = json.dumps([job.stage, _without_numbers(job.sections), code, running], sort_keys=True)
        found.setdefault(key, []).append(
            ChangedJobKind(job, 1, code, running, identity.equivalences.equivalent_codes(code))
        )
    kept = code_identity.decode_file_entries(
        {key: value for key, value in outcome.recorded.items() if not key.startswith("besides.")}
    )
    return [replace(same[0], jobs=len(same)) for same in found.values()], kept


def _artifact_exists(job: Job, root: Path) -> bool:
    return (root / job.outputs["card"]).is_file()


def _made_by(job: Job, root: Path, code: object) -> bool:
    """Whether the artifact that is here was made by that code."""
    try:
        return artifact.read_card(root / job.outputs["card"]).get("code") == code
    except DcpipeError:
        return False


def _without_numbers(value: object) -> object:
    """What typed sections choose by name: texts, switches and what is null, without numbers."""
    if isinstance(value, Mapping):
        return {str(key): _without_numbers(inner) for key, inner in value.items() if key not in DESCRIPTIVE_KEYS}
    if isinstance(value, Job):
        return value.stage
    if is_dataclass(value) and not isinstance(value, type):
        names = (field.name for field in fields(value) if field.name not in DESCRIPTIVE_KEYS)
        return {name: _without_numbers(getattr(value, name)) for name in names}
    if isinstance(value, list | tuple):
        return sorted({json.dumps(_without_numbers(inner), sort_keys=True) for inner in value})
    return value if value is None or isinstance(value, str | bool) else "a number"


def _run_code(cwd: Path, outcome_file: Path, options: TrialOptions) -> TrialOutcome:
    """The outcome of the code that lies in `cwd`, in a process of its own."""
    module = cwd / "src" / "dcpipe" / "commands" / "trial.py"
    own = ["-m", "dcpipe.commands.trial"] if module.is_file() else ["-P", str(Path(__file__).with_name("trial.py"))]
    done = subprocess.run(
        [sys.executable, *own, str(outcome_file), TypeAdapter(TrialOptions).dump_json(options, by_alias=True).decode()],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str((cwd / "src").resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        return TypeAdapter(TrialOutcome).validate_json(outcome_file.read_bytes())
    except (OSError, ValidationError):
        said = done.stderr.strip().splitlines() or [f"its process ended with {done.returncode}"]
        return TrialOutcome(problem=said[-1])


def _compare_kind(
    kind: ChangedJobKind, root: Path, old: Path, commit: str, place: Path, *, whole: bool
) -> ComparedJobKind:
    """Run a job of a kind by the new code and then by the old one, and compare."""
    job = kind.job
    noise_inputs = not all((root / path).exists() for paths in job.inputs.values() for path in paths)
    if noise_inputs and whole:
        return ComparedJobKind(kind, None, "its inputs are not here, so it cannot be run whole: leave out --whole")
    (place / "inputs").mkdir(parents=True)
    inputs, steps = str(place / "inputs" if noise_inputs else root.resolve()), None if whole else TRIAL_STEPS
    outcomes = []
    for name, side in (("new", root.resolve()), ("old", old)):
        request = TrialRequest(job.stage, dict(job.wildcards), inputs, str(place / name), steps, noise_inputs)
        outcome = _run_code(side, place / f"{name}.json", TrialOptions(run=request))
        if outcome.problem:
            return ComparedJobKind(kind, None, f"could not be compared: the {name} code failed: {outcome.problem}")
        outcomes.append(outcome)
    made, before = (outcome.files for outcome in outcomes)
    different = [path for path in sorted(made.keys() | before.keys()) if made.get(path) != before.get(path)]
    if different:
        return ComparedJobKind(
            kind, None, f"{different[0]} differs between old and new code ({kind.changed_modules_text})"
        )
    evidence = Evidence(
        tried=job.name,
        commit=commit,
        length="whole" if outcomes[0].whole else f"{TRIAL_STEPS} steps",
        inputs="noise" if noise_inputs else "artifacts",
        files=len(made),
        bytes=sum(size for size, _ in made.values()),
        payloads=equivalences.code_digest({path: sha256 for path, (_, sha256) in made.items()}),
        machine=outcomes[0].machine,
    )
    return ComparedJobKind(kind, evidence)


def _result_line(compared: ComparedJobKind) -> str:
    many = f" ({compared.kind.jobs} jobs)" if compared.kind.jobs > 1 else ""
    if compared.evidence is None:
        return f"{compared.kind.job.name}{many}: {compared.problem}"
    length = (
        f"{compared.evidence.length} on {'artifacts' if compared.evidence.inputs == 'artifacts' else 'noise inputs'}"
    )
    evidence, name = compared.evidence, compared.kind.job.name
    return f"{name}{many}: {evidence.files} files, {evidence.bytes} bytes are equal ({length})"


def _record(root: Path, tried: Sequence[ComparedJobKind], kept: Mapping[str, str]) -> None:
    """Write what was seen, then the identity file and the stages of DVC that follow from it."""
    records: dict[str, Record] = {}
    modules: dict[str, ModuleChange] = {}
    for one in tried:
        code = equivalences.code_digest(one.kind.running_code)
        before = records[code].evidence if code in records else []
        evidence = [*before, one.evidence] if one.evidence else before
        records[code] = Record(code=code, changed=one.kind.changes, evidence=evidence)
        for name, change in one.kind.changes.items():
            if change.old is not None:
                modules[name] = ModuleChange(module=name, old=kept.get(name, change.old), new=change.new)
    more = Equivalences(format=equivalences.FORMAT, modules=list(modules.values()), kinds=list(records.values()))
    known = equivalences.recorded_equivalences(root).merged_with(more)
    Identity(
        Identity.of_running_code(root).running, equivalences.read_equivalences(root).merged_with(more)
    ).tree()  # or it is refused here
    equivalences.write_equivalences(root, known)
    code_identity.update_file(root)
    dvc_yaml.export_dvc_yaml(root)
