"""Whether an artifact is what its job, as params and code stand now, would make: told from its card alone.

Independent of both engines' own bookkeeping, so that neither can record what the other merely believes.
"""

from pathlib import Path

from dcpipe.errors import DcpipeError, NewerFormatError
from dcpipe.provenance import artifact, card
from dcpipe.workflow.job import Job


def staleness_problem(job: Job, root: Path, *, every_digest: bool = False) -> str | None:
    """Why the artifact at a job's place is not this job's; None if it is.

    Compares the card's stage, param values, code identity and input digests with the job's, and the files'
    presence, sizes and metadata with the card; with `every_digest` every byte, which is due wherever something is
    vouched for.
    Raises: NewerFormatError if a newer dcpipe made it: it must not be made again by this one.
    """
    try:
        found = artifact.read_card(root / next(iter(job.outputs.values())))
        wanted = card.identity(job, root)
        for part in ("stage", "job", "params", "code", "inputs"):
            if found.get(part) != wanted[part]:
                return f"{job.folder}: was made with other {part}{first_difference(found.get(part), wanted[part])}"
        for name, path in job.outputs.items():
            if name != "card":
                artifact.verify_payload(root / path, every_digest=every_digest)
    except NewerFormatError:
        raise
    except DcpipeError as error:
        return f"{error.where}: {error.problem}" if error.where else error.problem
    return None


def params_or_code_difference(job: Job, root: Path) -> str | None:
    """Why the card at a job's place is not one of this job with these params and this code; None if it is, or if there
    is no card.

    Looks at that one card alone. Raises: NewerFormatError if a newer dcpipe wrote it.
    """
    place = root / next(iter(job.outputs.values()))
    if not (place.parent / artifact.CARD).is_file():
        return None
    try:
        found = artifact.read_card(place)
    except NewerFormatError:
        raise
    except DcpipeError as error:
        return error.problem
    for part, values in card.own_identity(job).items():
        if found.get(part) != values:
            return f"was made with other {part}{first_difference(found.get(part), values)}"
    return None


def params_difference(job: Job, root: Path) -> str | None:
    """What the artifact at a job's place was made with that the job's params do not say; None if they agree.

    Raises: UserError or CorruptArtifactError if there is no readable card.
    """
    found = artifact.read_card(root / next(iter(job.outputs.values()))).get("params")
    wanted = {file: dict(values) for file, values in job.params.items() if file != card.CODE_FILE}
    return None if found == wanted else f"was made with other params{first_difference(found, wanted)}"


def first_difference(found: object, wanted: object) -> str:
    """The first value that differs, as ` (key: old, now new)`; empty if none does."""
    old, new = _leaves(found), _leaves(wanted)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            return f" ({key}: {old.get(key, 'absent')}, now {new.get(key, 'absent')})"
    return ""


def _leaves(value: object, prefix: str = "") -> dict[str, object]:
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in _leaves(inner, f"{prefix}{name} ").items()}
    if isinstance(value, list):
        return {k: v for i, inner in enumerate(value) for k, v in _leaves(inner, f"{prefix}{i} ").items()}
    return {prefix.strip(): value}
