"""`dcpipe verify`: compare every artifact's bytes with its card and dvc.lock, or with the same artifact made again."""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dcpipe.engines import dvc_lock
from dcpipe.errors import DcpipeError, UserError
from dcpipe.provenance import artifact, card
from dcpipe.provenance.durable import files_below
from dcpipe.workflow.job import Job


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one job: `problem` is None if all bytes are right."""

    job: str
    problem: str | None
    note: str | None = None


def verify_job(job: Job, root: Path, recorded: Mapping[str, str], where: str = "dvc.lock") -> Finding:
    """Compare every file of a job with the card, and every output with the MD5 that is recorded for it, if any."""
    try:
        for name, path in job.outputs.items():
            if name != "card":
                artifact.verify_payload(root / path, every_digest=True)
        for path in job.outputs.values():
            if path in recorded and dvc_md5(root / path) != recorded[path]:
                return Finding(job.name, f"{path}: differs from the digest in {where}", _machine_class_note(job, root))
    except DcpipeError as error:
        return Finding(job.name, str(error))
    return Finding(job.name, None, _machine_class_note(job, root))


def rebuild_job(job: Job, root: Path) -> Finding:
    """Make an artifact again beside the one that is there, and compare bit for bit.

    On another class of machine than the card names, other bits are expected, and the finding says so.
    """
    from dcpipe.workflow import execution  # imports torch, which comparing files does not need

    existing = artifact.read_card(root / next(iter(job.outputs.values())))
    place = root / "state" / "rebuild" / job.name
    shutil.rmtree(place, ignore_errors=True)
    try:
        again = execution.execute_job(job, root, folder=place, keep_state=False)
        old = {entry.path: entry.sha256 for entry in artifact.card_entries(existing)}
        new = {entry.path: entry.sha256 for entry in artifact.card_entries(again)}
        different = sorted(path for path in old.keys() | new.keys() if old.get(path) != new.get(path))
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if not different:
        return Finding(job.name, None, f"{len(new)} files made again, bit for bit")
    note = _machine_class_note(job, root)
    return Finding(
        job.name, f"{job.folder}/{different[0]}: made again with other bytes" + (f" ({note})" if note else "")
    )


def locked_digests(root: Path) -> dict[str, str]:
    """The MD5 that the repository's dvc.lock files record of each output.

    Raises: UserError if one of them is not a dvc.lock.
    """
    digests: dict[str, str] = {}
    for lock in [root / "dvc.lock", *sorted(root.glob("experiments/*/dvc.lock"))]:
        try:
            outs = (out for stage in dvc_lock.current_stages(lock).values() for out in stage.get("outs", []))
            digests |= {out["path"]: out["md5"] for out in outs}
        except (AttributeError, KeyError, TypeError) as error:
            remedy = "restore it with `git checkout`"
            raise UserError("is not a dvc.lock", where=str(lock.relative_to(root)), remedy=remedy) from error
    return digests


def _machine_class_note(job: Job, root: Path) -> str | None:
    made = artifact.read_card(root / next(iter(job.outputs.values()))).get("class")
    here = card.machine_class(job)
    if made == here or not isinstance(made, dict):
        return None
    other = ", ".join(f"{key} {made.get(key)} (here {here.get(key)})" for key in made if made.get(key) != here.get(key))
    return f"made on another class of machine: {other}; equal bits are promised within one class only"


def dvc_md5(path: Path) -> str:
    """The MD5 that DVC records: for a file its own, for a folder that of its sorted list of files."""
    if path.is_file():
        return file_md5(path)
    rows = [{"md5": file_md5(file), "relpath": file.relative_to(path).as_posix()} for file in files_below(path)]
    rows.sort(key=lambda row: row["relpath"])
    return hashlib.md5(json.dumps(rows, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"


def file_md5(path: Path) -> str:
    """The MD5 of a file's content, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
