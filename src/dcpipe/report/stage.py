"""The report stage: summary.csv, the page, and every table as CSV and LaTeX. Views: outside every digest."""

import sys
from pathlib import Path

from dcpipe import artifact
from dcpipe.graph import Graph
from dcpipe.job import Job
from dcpipe.report import page, tables
from dcpipe.report.cells import gather
from dcpipe.report.origins import Origins


def run(job: Job, root: Path) -> None:
    """Make an experiment's views from its artifacts and costs, and print the headline tables.

    Raises: CorruptArtifactError naming the artifact that is not what was written; UserError if one is missing.
    """
    for paths in job.inputs.values():
        for path in paths:
            artifact.checked(root / path)
    cells = gather(job, root)
    sources = Origins(root, Graph(root))
    spent = sources.spent(sources.chain([sources.graph.maker(job.input("metrics"))]))
    offered = [head.table() for head in tables.headlines(cells)] + [tables.every_cell(cells), tables.cost(spent)]
    html = page.render(job, cells, offered, spent, sources)
    artifact.write_atomically(root / job.outputs["summary"], tables.summary(cells).csv().encode())
    folder = (root / job.outputs["page"]).parent / "tables"
    for table in offered:
        artifact.write_atomically(folder / f"{table.name}.csv", table.csv().encode())
        artifact.write_atomically(folder / f"{table.name}.tex", table.latex().encode())
    artifact.write_atomically(root / job.outputs["page"], html.encode())
    _say(f"{tables.terminal(cells)}\n\n{root / job.outputs['page']}\n")


def _say(text: str) -> None:
    """Print, also where the terminal cannot write every letter."""
    encoding = sys.stdout.encoding or "utf-8"
    plain = text.replace("±", "+-")
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        text = plain.encode(encoding, "replace").decode(encoding)
    sys.stdout.write(text)
