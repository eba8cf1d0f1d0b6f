"""`dcpipe where`: which artifact a path or a digest is, what made it, and what was made of it, by the cards."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dcpipe.errors import DcpipeError, UserError
from dcpipe.provenance import artifact
from dcpipe.provenance.artifact import FileEntry
from dcpipe.provenance.card_fields import Card, inputs_of, wildcards_of
from dcpipe.workflow.stages import STAGES

SHORTEST = 6  # letters of a digest


@dataclass(frozen=True, slots=True)
class ArtifactMatch:
    """An artifact: its folder relative to the root, its card, and which part of it matches (all, a payload, a file)."""

    folder: Path
    card: Card
    part: str

    @property
    def command(self) -> str:
        """The command that makes it again."""
        return STAGES[str(self.card["stage"])].command_of(wildcards_of(self.card))

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Path and digest of each input."""
        return inputs_of(self.card)

    @property
    def file_entries(self) -> list[FileEntry]:
        """Its files."""
        return artifact.card_entries(self.card)

    def payload_digests(self) -> dict[str, str]:
        """The digest of each payload, as it stands in the cards of the jobs that use it."""
        names = dict.fromkeys(entry.path.split("/")[0] for entry in self.file_entries)
        return {name: artifact.digest_of(artifact.card_entries(self.card, name)) for name in names}


def find_artifacts(root: Path, text: str) -> list[ArtifactMatch]:
    """The artifacts that a path (of an artifact, or of a file in one) or the beginning of a digest means.

    Raises: UserError if there is none.
    """
    matches = _by_path(root, Path(text))
    if not matches and re.fullmatch(rf"[0-9a-f]{{{SHORTEST},64}}", text):
        matches = [one for folder, card in _cards(root) if (one := _by_digest(folder, card, text))]
    if not matches:
        remedy = f"pass a path under artifacts/, or {SHORTEST} or more letters of a digest in a card, page or dvc.lock"
        raise UserError("no artifact has this path or digest", where=text, remedy=remedy)
    return matches


def artifact_lines(root: Path, match: ArtifactMatch) -> list[str]:
    """An artifact's origin, content and uses, for a terminal."""
    folder = match.folder.as_posix()
    payloads = match.payload_digests()
    uses = [
        f"  used by   {used.folder}{'' if digest == payloads.get(Path(path).name) else ', when it was ' + digest[:16]}"
        for used in (ArtifactMatch(place, card, "") for place, card in _cards(root))
        for path, digest in used.inputs
        if Path(path).parent == match.folder
    ]
    size = sum(entry.size for entry in match.file_entries)
    return [
        folder,
        f"  is        {match.part}; {len(match.file_entries)} files, {size / 1e6:.2f} MB",
        *(f"  holds     {name}  {digest[:16]}" for name, digest in payloads.items()),
        f"  made by   {match.command}",
        *(f"  made from {path}  {digest[:16]}" for path, digest in match.inputs),
        *(dict.fromkeys(uses) or ["  used by   no artifact on this machine"]),
    ]


def _by_path(root: Path, path: Path) -> list[ArtifactMatch]:
    place = (path if path.is_absolute() else root / path).resolve()
    if not place.is_relative_to(root.resolve() / "artifacts"):
        return []
    for folder in (place, *place.parents):
        if (folder / artifact.CARD).is_file():
            inner = place.relative_to(folder).as_posix()
            card = artifact.read_card(folder / artifact.CARD)
            part = "the whole artifact" if inner in {".", artifact.CARD} else inner
            return [ArtifactMatch(folder.relative_to(root.resolve()), card, part)]
    return []


def _by_digest(folder: Path, card: Card, text: str) -> ArtifactMatch | None:
    artifact_of = ArtifactMatch(folder, card, "")
    if str(card["digest"]).startswith(text):
        return ArtifactMatch(folder, card, "the whole artifact")
    for name, digest in artifact_of.payload_digests().items():
        if digest.startswith(text):
            return ArtifactMatch(folder, card, f"its payload {name}")
    entry = next((entry for entry in artifact_of.file_entries if entry.sha256.startswith(text)), None)
    return ArtifactMatch(folder, card, f"its file {entry.path}") if entry else None


def _cards(root: Path) -> Iterator[tuple[Path, Card]]:
    """Folder (relative to the root) and card of every artifact; unreadable ones are left out."""
    for path in sorted((root / "artifacts").rglob(artifact.CARD)):
        try:
            yield path.parent.relative_to(root), artifact.read_card(path)
        except DcpipeError:
            continue
