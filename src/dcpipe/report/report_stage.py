"""The report stage: summary.csv, the page, every table as CSV and LaTeX, provenance. Views: outside every digest."""

import sys
from pathlib import Path

from dcpipe.errors import UserError
from dcpipe.provenance import artifact
from dcpipe.report import crate, curves, page, stability, storage, tables
from dcpipe.report.cells import gather
from dcpipe.report.origins import Origins
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job


def table(job: Job, root: Path) -> str:
    """The headline tables as text for a terminal, and where the page is."""
    return f"{tables.terminal(gather(job, root))}\n\n{root / job.outputs['page']}\n"


def run(job: Job, root: Path, graph: Graph | None = None) -> str:
    """Make an experiment's views from its artifacts and costs; returns the headline tables as text.

    `graph` is the one the job is from, if that is not the repository's own.

    Raises: CorruptArtifactError naming the artifact that is not what was written; UserError if one is missing.
    """
    for paths in job.inputs.values():
        for path in paths:
            artifact.checked(root / path)
    cells = gather(job, root)
    sources = Origins(root, graph or Graph(root))
    chain = sources.chain([sources.graph.maker(job.input("metrics"))])
    spent = sources.spent(chain)
    offered = [head.table() for head in tables.headlines(cells)] + [tables.every_cell(cells), tables.cost(spent)]
    offered += [storage.trajectories(spent, sources), storage.preparing(spent)]
    offered += [table for table in (curves.table(cells), stability.table(cells, sources)) if table]
    html = page.render(job, cells, offered, spent, sources)
    place = root / job.outputs["page"]
    _write(root / job.outputs["summary"], tables.summary(cells).csv())
    for table in offered:
        _write(place.parent / "tables" / f"{table.name}.csv", table.csv())
        _write(place.parent / "tables" / f"{table.name}.tex", table.latex())
    _write(place, html)
    views = [place, root / job.outputs["summary"]]
    views += [place.parent / "tables" / f"{table.name}.{kind}" for table in offered for kind in ("csv", "tex")]
    _write(place.parent / crate.FILE, crate.metadata(job, root, chain, views))
    return f"{tables.terminal(cells)}\n\n{place}\n"


def _write(path: Path, text: str) -> None:
    try:
        artifact.write_atomically(path, text.encode())
    except OSError as error:
        remedy = "make room, or a folder that you may write to"
        raise UserError(f"cannot be written ({error.strerror})", where=str(path), remedy=remedy) from error


def say(text: str) -> None:
    """Print, also where the terminal cannot write every letter."""
    encoding = sys.stdout.encoding or "utf-8"
    plain = text.replace("±", "+-")
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = plain.encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
