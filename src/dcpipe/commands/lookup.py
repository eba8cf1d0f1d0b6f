"""`dcpipe where`: which artifact a path or a digest is, what made it, and what was made of it. Told from the cards."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from dcpipe.errors import DcpipeError, UserError
from dcpipe.provenance import artifact
from dcpipe.provenance.artifact import Entry
from dcpipe.workflow.stages import STAGES

SHORTEST = 6  # letters of a digest
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Found:
    """An artifact's folder relative to the root, its card, and what of it was meant."""

    folder: Path
    card: Json
    what: str

    @property
    def command(self) -> str:
        """What makes it again."""
        words = cast("Mapping[str, str]", self.card["job"])
        return STAGES[str(self.card["stage"])].command_of(words)

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Path and digest of each input."""
        named = cast("Mapping[str, list[Mapping[str, str]]]", self.card.get("inputs") or {})
        return [(one["path"], one["digest"]) for inputs in named.values() for one in inputs]

    @property
    def entries(self) -> list[Entry]:
        """Its files."""
        return artifact.entries_of(dict(self.card))

    def payloads(self) -> dict[str, str]:
        """The digest of each payload, as those who use it name it."""
        names = dict.fromkeys(entry.path.split("/")[0] for entry in self.entries)
        return {name: artifact.digest_of(artifact.entries_of(dict(self.card), name)) for name in names}


def find(root: Path, text: str) -> list[Found]:
    """The artifacts that a path (of an artifact, or of a file in one) or the beginning of a digest means.

    Raises: UserError if there is none.
    """
    found = _by_path(root, Path(text))
    if not found and re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", text):
        found = [one for folder, card in _cards(root) if (one := _by_digest(folder, card, text))]
    if not found:
        remedy = f"give a path under artifacts/, or {SHORTEST} or more letters of a digest in a card, page or dvc.lock"
        raise UserError("no artifact here has this path or digest", where=text, remedy=remedy)
    return found


def lines(root: Path, found: Found) -> list[str]:
    """What is known of it, for a terminal."""
    folder = found.folder.as_posix()
    payloads = found.payloads()
    uses = [
        f"  used by   {used.folder}{'' if digest == payloads.get(Path(path).name) else ', when it was ' + digest[:16]}"
        for used in (Found(place, card, "") for place, card in _cards(root))
        for path, digest in used.inputs
        if Path(path).parent == found.folder
    ]
    size = sum(entry.size for entry in found.entries)
    return [
        folder,
        f"  is        {found.what}; {len(found.entries)} files, {size / 1e6:.2f} MB",
        *(f"  holds     {name}  {digest[:16]}" for name, digest in payloads.items()),
        f"  made by   {found.command}",
        *(f"  made from {path}  {digest[:16]}" for path, digest in found.inputs),
        *(dict.fromkeys(uses) or ["  used by   nothing that is here"]),
    ]


def _by_path(root: Path, path: Path) -> list[Found]:
    place = (path if path.is_absolute() else root / path).resolve()
    if not place.is_relative_to(root.resolve() / "artifacts"):
        return []
    for folder in (place, *place.parents):
        if (folder / artifact.CARD).is_file():
            inner = place.relative_to(folder).as_posix()
            card = artifact.read_card(folder / artifact.CARD)
            what = "the whole artifact" if inner in {".", artifact.CARD} else inner
            return [Found(folder.relative_to(root.resolve()), card, what)]
    return []


def _by_digest(folder: Path, card: Json, text: str) -> Found | None:
    found = Found(folder, card, "")
    if str(card["digest"]).startswith(text):
        return Found(folder, card, "the whole artifact")
    for name, digest in found.payloads().items():
        if digest.startswith(text):
            return Found(folder, card, f"its payload {name}")
    entry = next((entry for entry in found.entries if entry.sha256.startswith(text)), None)
    return Found(folder, card, f"its file {entry.path}") if entry else None


def _cards(root: Path) -> Iterator[tuple[Path, Json]]:
    """Folder (relative to the root) and card of every artifact; unreadable ones are left out."""
    for path in sorted((root / "artifacts").rglob(artifact.CARD)):
        try:
            yield path.parent.relative_to(root), artifact.read_card(path)
        except DcpipeError:
            continue
