"""The report stage: summary.csv, the page, tables, figures, provenance. They are views: outside every digest."""

from collections.abc import Sequence
from pathlib import Path

from dcpipe.params.experiment import Experiment
from dcpipe.provenance import artifact
from dcpipe.report import applications, crate, curves, figures, page, stability, storage, stored_bytes, tables, views
from dcpipe.report.best_on_test import selection_table
from dcpipe.report.cells import Cell, gather_cells
from dcpipe.report.cross_architecture import cross_architecture_tables
from dcpipe.report.origins import Lineage
from dcpipe.report.page import ApplicationCharts
from dcpipe.report.reference_table import reference_table
from dcpipe.report.robust_scores import robust_table
from dcpipe.report.table import Table
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job


def headline_text(job: Job, root: Path) -> str:
    """The headline tables as text for a terminal, and the path of the page."""
    text = tables.terminal_text(gather_cells(job, root), _reference(job))
    return f"{text}\n\n{root / job.outputs['page']}\n"


def run(job: Job, root: Path, graph: Graph | None = None) -> str:
    """Make an experiment's views from its artifacts and costs; returns the headline tables as text.

    `graph` is the job's own, if that is not the repository's.

    Raises: CorruptArtifactError naming an artifact whose bytes differ from its card; UserError if an artifact or a
    package of the extra `report` is missing, or a file cannot be written.
    """
    figures.refuse_missing_packages()
    for paths in job.inputs.values():
        for path in paths:
            artifact.verify_payload(root / path)
    cells = gather_cells(job, root)
    sources = Lineage(root, graph or Graph(root))
    chain = sources.chain([sources.graph.job_that_makes(job.input("metrics")), *job.section("applications", tuple)])
    costs = sources.costs(chain)
    reference = _reference(job)
    offered = [head.table() for head in tables.headlines(cells, reference)]
    offered += [tables.cell_table(cells, reference), tables.cost_table(costs)]
    offered += [storage.trajectory_table(costs, sources), storage.preparation_table(costs)]
    offered += [table for table in _optional_tables(cells, sources, reference) if table]
    applied = applications.gather_application_results(job.section("applications", tuple), root)
    sizes = [stored_bytes.stored_bytes(cell, root) for cell in cells]
    offered += [stored_bytes.bytes_table(cells, sizes)]
    offered += [
        table for table in (applications.incremental_table(applied), applications.search_table(applied)) if table
    ]
    drawn = ApplicationCharts(
        tuple(applications.incremental_charts(applied)), tuple(stored_bytes.bytes_charts(cells, sizes))
    )
    rendered = page.render_page(job, cells, offered, costs, sources, drawn)
    place = root / job.outputs["page"]
    files = {root / job.outputs["summary"]: tables.summary_table(cells).csv().encode(), place: rendered.html.encode()}
    for table in offered:
        files[place.parent / "tables" / f"{table.name}.csv"] = table.csv().encode()
        files[place.parent / "tables" / f"{table.name}.tex"] = table.latex().encode()
    for chart in rendered.charts:
        files |= {place.parent / figures.FOLDER / name: content for name, content in chart.files.items()}
    provenance = place.parent / crate.FILE
    outdated = views.listed_files(provenance) - files.keys()
    views.write_views({**files, provenance: crate.crate_metadata(job, root, chain, files).encode()})
    views.remove_files(outdated)
    return f"{tables.terminal_text(cells, reference)}\n\n{place}\n"


def _reference(job: Job) -> str:
    return job.section("experiment", Experiment).reference


def _optional_tables(cells: Sequence[Cell], sources: Lineage, reference: str) -> tuple[Table | None, ...]:
    return (
        reference_table(cells, reference),
        *cross_architecture_tables(cells),
        robust_table(cells),
        curves.curve_table(cells),
        selection_table(cells),
        stability.stability_table(cells, sources),
    )
