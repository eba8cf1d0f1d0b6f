"""DVC's cache: files under the MD5 of their content. DVC trusts what is there, and serves it for ever."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from dcpipe.commands.verify import file_md5
from dcpipe.engines import preflight
from dcpipe.provenance.durable import files_below
from dcpipe.workflow.job import Job


def remove_corrupt(root: Path, jobs: Iterable[Job]) -> list[Path]:
    """Remove from the cache what differs from its name, of the files of these jobs; returns what was removed.

    DVC keeps an object that it has, whatever is in it: a right file would be recorded, and the rotten one served.
    """
    removed = []
    for cached, md5 in _objects(root, jobs):
        if cached.is_file() and file_md5(cached) != md5:
            cached.unlink()
            removed.append(cached)
    return removed


def _objects(root: Path, jobs: Iterable[Job]) -> Iterator[tuple[Path, str]]:
    """The object of every file of these jobs, where the cache has it or would have it."""
    cache = preflight.cache_folder(root) / "files" / "md5"
    for job in jobs:
        for path in job.outputs.values():
            for file in files_below(root / path):
                if cache not in file.resolve().parents:  # a link into the cache was read when it was verified
                    md5 = file_md5(file)
                    yield cache / md5[:2] / md5[2:], md5
