"""Artifacts on disk: written whole or not at all, and never read without looking at what is there.

A job owns one folder. Its payloads (files or Zarr folders) are made under temporary names beside their places,
flushed to disk, and renamed; the card, which lists every file with size and digest, comes last. A folder
without a card is not an artifact; a payload that differs from its card is refused by name.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.params import formats
from dcpipe.provenance import damage, durable, older_cards

FORMAT = 3  # of cards, and with them of the payloads they describe; see `older_cards` for what came before
SEALED = 3  # the format from which on cards are sealed
CARD = damage.CARD
SEAL = "card_sha256"  # the key of a card that holds the digest of all its others


@dataclass(frozen=True, slots=True)
class FileEntry:
    """One file of a payload: its path relative to the job's folder, its size and its SHA-256."""

    path: str
    size: int
    sha256: str


@dataclass(slots=True)
class Draft:
    """A job's folder while it is being written."""

    folder: Path
    names: list[str] = field(default_factory=list)

    def path(self, name: str) -> Path:
        """Where to write the payload `name`; it appears under its own name when the draft is published."""
        if name not in self.names:
            self.names.append(name)
        return durable.temporary_path(self.folder / name)

    def publish(self, card: dict[str, object]) -> dict[str, object]:
        """Move every payload to its place, then write the card with their manifest. Returns the card."""
        for name in self.names:
            durable.fsync_tree(self.path(name))
        manifest = [entry for name in sorted(self.names) for entry in _file_entries(self.path(name), name)]
        card = {
            **json.loads(json.dumps(card)),  # as it will be read
            "format": FORMAT,
            "manifest": [_as_dict(entry) for entry in manifest],
            "digest": digest_of(manifest),
        }
        card[SEAL] = card_digest(card)
        with durable.writing_last(self.folder / CARD, durable.json_bytes(card)):
            (self.folder / CARD).unlink(missing_ok=True)
            durable.fsync_path(self.folder)  # or a power cut could leave the old card beside new payloads
            for name in self.names:
                durable.move_into_place(self.path(name), self.folder / name)
        return card


@contextmanager
def draft_artifact(folder: Path) -> Iterator[Draft]:
    """A fresh draft of a job's folder; whatever was left by a killed run, or by this one failing, is removed.

    Raises: UserError if the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        durable.remove_leftovers(folder, everything=True)
    except OSError as error:
        remedy = "remove what is in its way, or work in a folder that you may write to"
        raise UserError(f"cannot be written ({error.strerror})", where=str(folder), remedy=remedy) from error
    try:
        yield Draft(folder)
    finally:
        durable.remove_leftovers(folder, everything=True)


def _file_entries(path: Path, name: str) -> list[FileEntry]:
    entries = []
    for file in durable.files_below(path):
        inner = name if file == path else f"{name}/{file.relative_to(path).as_posix()}"
        entries.append(FileEntry(inner, file.stat().st_size, sha256(file)))
    return entries


def sha256(path: Path) -> str:
    """The SHA-256 of a file's content, in hex."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest_of(entries: list[FileEntry]) -> str:
    """One digest for a set of files: the SHA-256 over paths, sizes and digests in the order of the paths."""
    lines = (f"{entry.path}\0{entry.size}\0{entry.sha256}\n" for entry in sorted(entries, key=lambda e: e.path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def card_digest(card: Mapping[str, object]) -> str:
    """The digest of a card: the SHA-256 of all of it but this digest, as JSON."""
    rest = {key: value for key, value in card.items() if key != SEAL}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def _as_dict(entry: FileEntry) -> dict[str, object]:
    return {"path": entry.path, "size": entry.size, "sha256": entry.sha256}


def read_card(payload: Path) -> dict[str, object]:
    """The card beside a payload, as the present format has it.

    Raises: CorruptArtifactError if there is none (the job never finished) or it is not readable; NewerFormatError if a
    newer dcpipe wrote it.
    """
    path = payload.parent / CARD
    if not payload.exists() and not path.exists():
        raise UserError("does not exist", where=str(payload), remedy="make it with `snakemake` or its stage first")
    try:
        card = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise _corrupt_error(payload, "has no card beside it: it was never finished") from error
    except (OSError, ValueError, RecursionError) as error:
        raise _corrupt_error(path, "is not a readable card") from error
    if not isinstance(card, dict):
        raise _corrupt_error(path, "is not a card")
    found = formats.checked_format(card.get("format", 1), newest=FORMAT, where=str(path))
    try:
        whole = card["digest"] == digest_of(card_entries(card))
        sealed_whole = card[SEAL] == card_digest(card) if found >= SEALED or SEAL in card else True
    except (TypeError, KeyError, ValueError) as error:
        raise _corrupt_error(path, "is not a card") from error
    if not whole:
        raise _corrupt_error(path, "was changed after it was written (its manifest and its digest differ)")
    if not sealed_whole:
        raise _corrupt_error(path, f"was changed after it was written (its content and its {SEAL} differ)")
    return older_cards.migrated(card) if found < FORMAT else dict(card)


def card_entries(card: dict[str, object], name: str | None = None) -> list[FileEntry]:
    """The manifest's entries, all or those of one payload. Raises: TypeError, KeyError or ValueError for a bad one."""
    manifest = card["manifest"]
    if not isinstance(manifest, list):
        raise TypeError(f"a manifest should be a list, not {manifest!r:.80}")
    entries = [FileEntry(str(row["path"]), int(row["size"]), str(row["sha256"])) for row in manifest]
    return [e for e in entries if name is None or e.path == name or e.path.startswith(f"{name}/")]


def payload_digest(payload: Path) -> str:
    """The digest of one payload as its card states it; what downstream jobs name as their input."""
    return digest_of(card_entries(read_card(payload), payload.name))


def verify_payload(payload: Path, *, every_digest: bool = False) -> Path:
    """The payload, after comparing what is there with its card.

    Every file must be there with its size, nothing else may be, and files that no inner checksum protects
    (everything but Zarr's chunks, which are verified as they are read) must have their digest. `every_digest`
    compares every digest.

    Raises: CorruptArtifactError naming the first file that differs.
    """
    entries = card_entries(read_card(payload), payload.name)
    if not entries:
        raise _corrupt_error(payload, "is not in its card")
    for entry in entries:
        file = payload.parent / entry.path
        if not file.is_file():
            raise _corrupt_error(file, "is missing")
        if file.stat().st_size != entry.size:
            raise _corrupt_error(file, f"has {file.stat().st_size} bytes instead of {entry.size}")
        if (every_digest or not _is_chunk(entry.path)) and sha256(file) != entry.sha256:
            raise _corrupt_error(file, "was changed after it was written (its SHA-256 differs from the card's)")
    known = {payload.parent / entry.path for entry in entries}
    for file in durable.files_below(payload):
        if file not in known:
            raise _corrupt_error(file, "does not belong there")
    return payload


def _is_chunk(path: str) -> bool:
    return "/c/" in path and ".zarr/" in path


def _corrupt_error(path: Path, problem: str) -> CorruptArtifactError:
    return CorruptArtifactError(problem, where=str(path), remedy=damage.remedy(path))
