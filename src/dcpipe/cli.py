"""The command line: one verb a stage, and one a question. Thin: load, call, write."""

import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from dcpipe.errors import DcpipeError, Interrupted
from dcpipe.stages import DEFAULT_EXPERIMENT

app = typer.Typer(
    help="Dataset distillation as a workflow. Stages: data, experts, distill, evaluate, metrics, report.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
params_app = typer.Typer(help="Look at params.", no_args_is_help=True)
graph_app = typer.Typer(help="Compile the graph for DVC, or check that dvc.yaml is current.", no_args_is_help=True)
app.add_typer(params_app, name="params")
app.add_typer(graph_app, name="graph")

ROOT = Path()
Log = Annotated[Path | None, typer.Option("--log", help="Write the log there (folders are made).")]
Dataset = Annotated[str, typer.Argument(help="A file of params/datasets.")]
Ipc = Annotated[int, typer.Option("--ipc", min=1, help="Images per class.")]
Set = Annotated[int, typer.Option("--set", min=0, help="Which synthetic set of this kind.")]
Experiment = Annotated[str, typer.Argument(help="A file of params/experiments.")]
ExperimentOrDefault = Annotated[str, typer.Argument(help="A file of params/experiments.")]


@app.callback()
def _common(debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False) -> None:
    global _debug  # noqa: PLW0603 (one command line, one setting)
    _debug = debug


_debug = False


def _run(stage: str, log: Path | None, **wildcards: str | int) -> None:
    from dcpipe import code_identity, execution
    from dcpipe.graph import Graph

    _log_to(log)
    stale = code_identity.stale(ROOT)
    if stale:
        names = ", ".join(name.removeprefix("modules.") for name in stale[:3])
        logging.getLogger("dcpipe").warning("%s is stale (%s): `dcpipe graph export`", code_identity.FILE, names)
    job = Graph(ROOT).job(stage, **wildcards)
    card = execution.execute(job, ROOT)
    logging.getLogger("dcpipe").info("%s: done, digest %s", job.folder, str(card["digest"])[:16])


def _log_to(path: Path | None) -> None:
    log = logging.getLogger("dcpipe")
    log.setLevel(logging.INFO)
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if path is not None:
        from dcpipe import progress

        progress.be_quiet()
        path.parent.mkdir(parents=True, exist_ok=True)
        handler = logging.FileHandler(path, mode="a")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)


@app.command()
def data(dataset: Dataset, log: Log = None) -> None:
    """Prepare a dataset: split it and write it as Zarr."""
    _run("data", log, dataset=dataset)


@app.command()
def whiten(dataset: Dataset, log: Log = None) -> None:
    """Fit a dataset's ZCA whitening on its training images."""
    _run("whiten", log, dataset=dataset)


@app.command()
def convexify(
    dataset: Dataset,
    experts: Annotated[str, typer.Argument(help="A file of params/experts.")],
    waypoints: Annotated[str, typer.Option("--waypoints", help="Epochs between, as in 6-25, or none.")],
    shard: Annotated[int, typer.Option("--shard", min=0, help="Which shard.")],
    log: Log = None,
) -> None:
    """Keep a few checkpoints of recorded experts, and how far along they were between them."""
    _run("convexify", log, dataset=dataset, experts=experts, waypoints=waypoints, shard=shard)


@app.command()
def experts(
    dataset: Dataset,
    experts: Annotated[str, typer.Argument(help="A file of params/experts.")],
    shard: Annotated[int, typer.Option("--shard", min=0, help="Which shard.")],
    log: Log = None,
) -> None:
    """Train one shard of experts and record their trajectories."""
    _run("experts", log, dataset=dataset, experts=experts, shard=shard)


@app.command()
def distill(
    dataset: Dataset,
    method: Annotated[str, typer.Argument(help="A file of params/methods.")],
    ipc: Ipc,
    set_: Set = 0,
    log: Log = None,
) -> None:
    """Make one synthetic set."""
    _run("distill", log, dataset=dataset, method=method, ipc=ipc, set=set_)


@app.command()
def evaluate(
    dataset: Dataset,
    method: Annotated[str, typer.Argument(help="A file of params/methods.")],
    ipc: Ipc,
    protocol: Annotated[str, typer.Option("--protocol", help="A file of params/evaluations.")],
    network: Annotated[str, typer.Option("--network", help="A network's name, or native.")] = "native",
    set_: Set = 0,
    log: Log = None,
) -> None:
    """Train fresh networks on a synthetic set and test them."""
    words: dict[str, str | int] = {"dataset": dataset, "method": method, "ipc": ipc, "set": set_}
    _run("evaluate", log, **words, evaluation=protocol, network=network)


@app.command()
def metrics(experiment: Experiment, log: Log = None) -> None:
    """Pool an experiment's scores into one file."""
    _run("metrics", log, experiment=experiment)


@app.command()
def report(experiment: Experiment, log: Log = None) -> None:
    """Make an experiment's page and summary.csv, and print the table."""
    from dcpipe.graph import Graph
    from dcpipe.report import stage

    _log_to(log)
    table = stage.run(Graph(ROOT).job("report", experiment=experiment), ROOT)
    if log is None:  # under an engine, other jobs write to the same terminal
        stage.say(table)


@app.command()
def show(experiment: ExperimentOrDefault = DEFAULT_EXPERIMENT) -> None:
    """Print an experiment's table from the artifacts that are there."""
    from dcpipe.graph import Graph
    from dcpipe.report import stage

    stage.say(stage.table(Graph(ROOT).job("report", experiment=experiment), ROOT))


@app.command()
def record(
    experiment: ExperimentOrDefault = DEFAULT_EXPERIMENT,
    after_run: Annotated[bool, typer.Option("--after-run", hidden=True)] = False,
) -> None:
    """Record a complete run in DVC; refuses anything it cannot vouch for."""
    from dcpipe.engines import guard
    from dcpipe.errors import RefusedError

    try:
        count = guard.record(ROOT, experiment)
    except RefusedError as error:
        if not after_run:
            raise
        _say(f"not recorded: {error}")
        return
    typer.echo(f"recorded {count} jobs of {experiment} in DVC")


@app.command()
def adopt(experiment: ExperimentOrDefault = DEFAULT_EXPERIMENT) -> None:
    """After DVC moved files: settle Snakemake's provenance and make the views."""
    from dcpipe.engines import guard

    count = guard.adopt(ROOT, experiment)
    typer.echo(f"adopted {count} jobs of {experiment}: Snakemake has nothing to do")


@app.command()
def verify(
    experiment: ExperimentOrDefault = DEFAULT_EXPERIMENT,
    rebuild: Annotated[str | None, typer.Option("--rebuild", help="Make this artifact again and compare.")] = None,
) -> None:
    """Compare every artifact's bytes with its card and dvc.lock, or make one again and compare bit for bit."""
    from dcpipe import verify as verifying
    from dcpipe.graph import Graph

    graph = Graph(ROOT)
    if rebuild is not None:
        findings = [verifying.rebuild(graph.maker(rebuild), ROOT)]
    else:
        locked = verifying.locked_digests(ROOT)
        jobs = [job for job in graph.jobs(experiment) if not job.is_view]
        findings = [verifying.verify(job, ROOT, locked) for job in jobs]
    wrong = [finding for finding in findings if finding.problem]
    for finding in findings:
        if finding.problem or finding.note:
            typer.echo(f"{finding.job}: {finding.problem or finding.note}")
    typer.echo(f"{len(findings) - len(wrong)} of {len(findings)} artifacts are what they should be")
    if wrong:
        raise typer.Exit(1)


@app.command()
def plan(experiment: ExperimentOrDefault = DEFAULT_EXPERIMENT) -> None:
    """Say what would run, and what it will cost, before anything is spent."""
    from dcpipe import plan as planning
    from dcpipe.graph import Graph

    rows = planning.rows(Graph(ROOT), experiment)
    typer.echo(f"{'stage':<10}{'jobs':>7}{'to run':>9}{'disk MB':>11}{'seconds':>11}")
    for row in rows:
        seconds = "unknown" if row.seconds is None else f"{row.seconds:.0f}"
        typer.echo(f"{row.stage:<10}{row.jobs:>7}{row.to_run:>9}{row.disk_bytes / 1e6:>11.2f}{seconds:>11}")


@app.command()
def run(
    experiment: Annotated[
        str, typer.Argument(help="A file of params/experiments, or the path of an experiment's YAML file elsewhere.")
    ] = DEFAULT_EXPERIMENT,
    stages: Annotated[str | None, typer.Option("--stages", help="Only these, for example data,experts.")] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", min=0.0, help="Minutes after which to save, stop and exit with 75.")
    ] = None,
    log: Log = None,
) -> None:
    """Run what is not current, one job after the other, without an engine; the same command goes on. Not recorded."""
    from dcpipe.graph import Graph
    from dcpipe.params import outside
    from dcpipe.runner import Runner, Tally, stages_of

    _log_to(log)
    name, extra = outside.find(ROOT, experiment)
    runner, tally = Runner(Graph(ROOT, extra), stages_of(stages)), Tally()
    for outcome in runner.run(name, None if budget is None else 60 * budget):
        line = tally.line(outcome)
        if line:
            typer.echo(line)
        if outcome.error:
            if _debug:
                raise outcome.error
            _say(f"{outcome.job.name} failed: {_explained(outcome.error)[0]}")
        elif outcome.job.is_view and outcome.state == "made" and log is None:
            from dcpipe.report import stage

            stage.say(outcome.text)
    typer.echo(tally.summary())
    sys.exit(tally.exit_code)


@app.command("import-buffers")
def import_buffers(
    dataset: Dataset,
    experts: Annotated[str, typer.Argument(help="A file of params/experts whose origin is imported.")],
    files: Annotated[list[Path], typer.Argument(help="replay_buffer_*.pt")],
    log: Log = None,
) -> None:
    """Import published experts instead of training them; downstream stages take them as they are."""
    from dcpipe.experts import buffers
    from dcpipe.graph import Graph

    _log_to(log)
    for job, state in buffers.import_files(Graph(ROOT), dataset, experts, files):
        typer.echo(f"{job.name}: {state}")


@params_app.command("show")
def params_show(experiment: Experiment) -> None:
    """Print every resolved value of an experiment and where it comes from."""
    from dcpipe.graph import Graph
    from dcpipe.params.show import lines

    for line in lines(Graph(ROOT), experiment):
        typer.echo(line)


@graph_app.command("export")
def graph_export() -> None:
    """Write dvc.yaml (one stage a job) for every experiment, and code_identity.yaml."""
    from dcpipe.engines import dvc

    for path in dvc.export(ROOT):
        typer.echo(f"wrote {path}")


@graph_app.command("check")
def graph_check() -> None:
    """Fail if a dvc.yaml or code_identity.yaml is not what the params and the code say."""
    from dcpipe.engines import dvc

    dvc.check(ROOT)
    typer.echo("dvc.yaml and code_identity.yaml are current")


def main() -> NoReturn:
    """Run the command line; errors become one line on standard error and an exit code."""
    try:
        code = app(standalone_mode=False)  # typer returns the code of an Exit here instead of raising it
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except (Exception, Interrupted) as error:
        if _debug and not isinstance(error, typer.Exit):
            raise
        message, code = _explained(error)
        if message:
            _say(message)
        sys.exit(code)
    sys.exit(code if isinstance(code, int) else 0)


def _explained(error: BaseException) -> tuple[str | None, int]:
    """What to say of an error, and the exit code: 2 for the user's mistake, 1 for a failure."""
    if isinstance(error, typer.Exit):
        return None, error.exit_code
    if isinstance(error, DcpipeError):
        return str(error), error.exit_code
    if isinstance(error, Interrupted):
        return "stopped; the state is saved, and the same command continues from it", error.exit_code
    if hasattr(error, "format_message"):  # typer's usage errors
        return f"{error.format_message()} See `dcpipe --help`", 2
    if isinstance(error, OSError):
        return f"{error.filename or 'the system'}: {error.strerror or error}; nothing was published", 1
    return f"{type(error).__name__}: {error}; this is a defect: `dcpipe --debug ...` shows where", 1


def _say(message: str) -> None:
    sys.stderr.write(f"dcpipe: {message}\n")
    log = logging.getLogger("dcpipe")
    if any(isinstance(handler, logging.FileHandler) for handler in log.handlers):
        log.error(message)
