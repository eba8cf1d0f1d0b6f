"""`dcpipe scratch`: DVC's cache on another disk, and links into it in artifacts/.

DVC records nothing behind a linked folder, so `artifacts/` itself stays a real one: a run writes into it, and when the
run is recorded, its files move to the other disk and leave links behind. Jobs never write into a file that is there:
they write a new one and rename it, so that nothing reaches through a link into the cache.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

from dcpipe.engines import dvc, preflight
from dcpipe.errors import UserError

NAME = "dvc-cache"


def set_up(root: Path, folder: Path) -> Iterator[str]:
    """Use a folder as the place of DVC's cache; a line for each thing that was done. Twice is as once.

    Raises: UserError if the folder cannot be used, if artifacts/ is a link to a folder with files, or if this is no DVC
    repository.
    """
    preflight.refuse_blocked_run(
        finding for finding in preflight.recording_findings(root, []) if finding.subject != "DVC"
    )
    if not (root / ".dvc").is_dir():
        raise UserError("DVC is not initialised", where=str(root.resolve()), remedy="`dvc init` or `dvc init --subdir`")
    yield from _restore_artifacts_folder(root)
    cache = folder.expanduser().resolve() / NAME  # after a link was removed that it may lead through
    _create_cache_folder(root, cache)
    before = preflight.cache_folder(root)
    if before != cache and before.is_dir() and any(before.iterdir()):
        for part in before.iterdir():
            _move(part, cache / part.name)
        yield f"moved what was recorded from {before} to {cache}"
    for key, value in (("cache.dir", str(cache)), ("cache.type", "symlink")):
        dvc.configure(root, key, value)
    yield f"DVC keeps what it records in {cache}, with links to it in artifacts/ (set in .dvc/config.local)"


def _create_cache_folder(root: Path, cache: Path) -> None:
    if cache.is_relative_to(root.resolve() / "artifacts"):
        raise UserError("is inside artifacts/", where=str(cache.parent), remedy="name a folder of another disk")
    try:
        cache.mkdir(parents=True, exist_ok=True)
        (cache / ".dcpipe-tmp-try").write_bytes(b"x")
        (cache / ".dcpipe-tmp-try").unlink()
    except OSError as error:
        remedy = "name a folder that you may write to"
        raise UserError(f"cannot be written ({error.strerror})", where=str(cache.parent), remedy=remedy) from error


def _restore_artifacts_folder(root: Path) -> Iterator[str]:
    """A real artifacts/ in the place of a link to an empty folder, or to nowhere."""
    link = root / "artifacts"
    if not link.is_symlink():
        return
    target = link.resolve()
    if target.is_dir() and any(target.iterdir()):
        remedy = f"`rm artifacts && cp -a {target} artifacts`, then start the same command again"
        raise UserError(f"is a link to {target}, which has files in it", where="artifacts", remedy=remedy)
    link.unlink()
    link.mkdir()
    yield f"artifacts/ is a real folder instead of a link to {target}"


def _move(source: Path, target: Path) -> None:
    """Move a folder of the cache; files that are there already have the same content, because their names say it."""
    if not source.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(source, target)
        return
    for part in source.iterdir():
        _move(part, target / part.name)
    source.rmdir()
