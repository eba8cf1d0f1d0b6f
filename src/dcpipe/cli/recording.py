"""Verbs about Snakemake and DVC: record, adopt, verify, and the graph compiled for both."""

from pathlib import Path
from typing import Annotated

import typer

from dcpipe.cli.app import ROOT, NamedExperiment, OptionalExperiment, app, print_to_stderr
from dcpipe.workflow.stages import DEFAULT_EXPERIMENT

PANEL = "Snakemake and DVC"
graph_app = typer.Typer(help="Compile the graph for DVC, or check that dvc.yaml is current.", no_args_is_help=True)
app.add_typer(graph_app, name="graph", rich_help_panel=PANEL)


@app.command(rich_help_panel=PANEL)
def record(
    experiment: NamedExperiment = DEFAULT_EXPERIMENT,
    after_run: Annotated[bool, typer.Option("--after-run", hidden=True)] = False,
) -> None:
    """Record a complete run in DVC; refuses if it cannot confirm that every artifact is right.

    Example: dcpipe record digits
    """
    from dcpipe.engines import guard
    from dcpipe.errors import RefusedError

    try:
        count = guard.record_run(ROOT, experiment)
    except RefusedError as error:
        if not after_run:
            raise
        print_to_stderr(f"not recorded: {error}")
        return
    typer.echo(f"recorded {count} jobs of {experiment} in DVC")


@app.command(rich_help_panel=PANEL)
def repro(experiment: NamedExperiment = DEFAULT_EXPERIMENT) -> None:
    """Reproduce an experiment through DVC, one job after the other, and settle Snakemake's bookkeeping.

    Example: dcpipe repro digits
    """
    from dcpipe.engines import dvc, dvc_yaml, fork_server, guard, preflight, run_owner, takeover
    from dcpipe.provenance import code_identity
    from dcpipe.workflow.graph import Graph

    code_identity.update_file(ROOT)
    preflight.refuse_blocked_run(preflight.findings(Graph(ROOT), experiment))
    takeover.clean_up_dead_runs(ROOT, experiment, print_to_stderr)
    run_owner.register(ROOT, f"dcpipe repro {experiment}", experiment)
    dvc_yaml.export_dvc_yaml(ROOT, experiment)
    fork_server.enable_forks(experiment)
    dvc.dvc_repro(ROOT, experiment)
    typer.echo(f"adopted {guard.adopt_from_dvc(ROOT, experiment)} jobs of {experiment}: Snakemake has nothing to do")


@app.command(rich_help_panel=PANEL)
def adopt(
    experiment: NamedExperiment = DEFAULT_EXPERIMENT,
    finished: Annotated[
        bool,
        typer.Option(
            "--finished", help="Adopt the finished jobs of an incomplete experiment; every byte is compared first."
        ),
    ] = False,
) -> None:
    """After DVC moved files, or rules were written again: settle Snakemake's provenance and make the views.

    Example: dvc checkout && dcpipe adopt
    """
    from dcpipe.engines import guard

    if finished:
        count, left = guard.adopt_finished(ROOT, experiment)
        typer.echo(f"adopted {count} finished jobs of {experiment}; {left} left to run")
        return
    count = guard.adopt_from_dvc(ROOT, experiment)
    typer.echo(f"adopted {count} jobs of {experiment}: Snakemake has nothing to do")


@app.command(rich_help_panel=PANEL)
def verify(
    experiment: NamedExperiment = DEFAULT_EXPERIMENT,
    rebuild: Annotated[str | None, typer.Option("--rebuild", help="Make this artifact again and compare.")] = None,
    reference: Annotated[
        Path | None, typer.Option("--reference", help="Compare with this file, not with dvc.lock.")
    ] = None,
) -> None:
    """Compare every artifact's bytes with its card and dvc.lock, or make one again and compare bit for bit.

    Example: dcpipe verify --rebuild artifacts/synthetic/digits/mtt/ipc1/set0; or
    dcpipe verify digits-all --reference benchmarks/results/digits-all-digests.json
    """
    from dcpipe.commands import reference as references
    from dcpipe.commands import verify as verifying
    from dcpipe.errors import UserError
    from dcpipe.workflow.graph import Graph

    if rebuild is not None and reference is not None:
        raise UserError("--rebuild and --reference exclude each other", where="dcpipe verify", remedy="use one of them")
    graph = Graph(ROOT)
    if rebuild is not None:
        findings = [verifying.rebuild_job(graph.job_that_makes(rebuild), ROOT)]
    elif reference is not None:
        findings = references.compare_with_reference(
            graph, references.read_reference(reference, experiment), str(reference)
        )
    else:
        locked = verifying.locked_digests(ROOT)
        jobs = [job for job in graph.experiment_jobs(experiment) if not job.is_view]
        findings = [verifying.verify_job(job, ROOT, locked) for job in jobs]
    wrong = [finding for finding in findings if finding.problem]
    shown = findings if reference is None else [*wrong[:1], *(one for one in findings if not one.problem)]
    for finding in shown:
        if finding.problem or finding.note:
            typer.echo(f"{finding.job}: {'; '.join(filter(None, (finding.problem, finding.note)))}")
    typer.echo(f"{len(findings) - len(wrong)} of {len(findings)} artifacts have the right bytes")
    if wrong:
        raise typer.Exit(1)


@app.command("reference", rich_help_panel=PANEL)
def reference_(
    experiment: NamedExperiment = DEFAULT_EXPERIMENT,
    to: Annotated[
        Path | None, typer.Option("--to", help="File to write; default: benchmarks/results/NAME-digests.json.")
    ] = None,
    note: Annotated[str, typer.Option("--note", help="One line that describes the machine, for readers.")] = "",
) -> None:
    """Write the MD5 of everything that a finished experiment made into one small file, for `dcpipe verify --reference`.

    Example: dcpipe reference digits-gradient
    """
    from dcpipe.commands import reference as references
    from dcpipe.provenance.durable import write_atomically

    content = references.reference_text(ROOT, experiment, note)
    file = to or references.reference_path(experiment)
    write_atomically(ROOT / file, content.encode())
    typer.echo(f"wrote {file}: {len(references.read_reference(ROOT / file, experiment).digests)} jobs")


@app.command("plots-page", rich_help_panel=PANEL)
def install_plots_page() -> None:
    """Let `dvc plots` write pages that open without a network: the drawing library is put into them.

    For this clone, once. Example: dcpipe plots-page && dvc plots show
    """
    from dcpipe.engines import plots_page

    typer.echo(f"wrote {plots_page.install(ROOT).relative_to(ROOT)}; dvc plots show and diff use it from now on")


@graph_app.command("export")
def graph_export(
    experiment: OptionalExperiment = None,
) -> None:
    """Write an experiment's dvc.yaml (one stage a job), and code_identity.yaml.

    The default's dvc.yaml is in the root and in git, another one's in experiments/NAME.

    Example: dcpipe graph export tiny
    """
    from dcpipe.engines import dvc_yaml
    from dcpipe.provenance import code_identity

    changed = [code_identity.FILE] if code_identity.update_file(ROOT) else []
    for path in [*changed, *dvc_yaml.export_dvc_yaml(ROOT, experiment)]:
        typer.echo(f"wrote {path}" if (ROOT / path).exists() else f"removed {path}")


@graph_app.command("check")
def graph_check() -> None:
    """Fail if the default's dvc.yaml, one that was exported, or code_identity.yaml is not what params and code say."""
    from dcpipe.engines import dvc_yaml
    from dcpipe.provenance import code_identity

    code_identity.refuse_stale(ROOT)
    dvc_yaml.check_dvc_yaml(ROOT)
    typer.echo("dvc.yaml and code_identity.yaml are current")
