"""The application that verbs are added to: common arguments, logs, and errors as one line and an exit code."""

import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from dcpipe import __version__
from dcpipe.errors import DcpipeError, Interrupted, UserError
from dcpipe.workflow import environment

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph

app = typer.Typer(
    help="Dataset distillation as a workflow: a large image dataset becomes a tiny synthetic one.\n\n"
    "Start with `dcpipe plan digits` (what would run, and what it costs), then `dcpipe run digits`, or "
    "`snakemake --cores all` for the same in parallel. Names such as digits or mtt are names of files in params/.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
ROOT = Path()


def _name_completer(section: str) -> Callable[[str], list[str]]:
    """For a shell that completes a word: the files of a section of params that begin with it."""

    def complete(incomplete: str) -> list[str]:
        from dcpipe.params import params_files

        return [name for name in params_files.available_names(ROOT, section) if name.startswith(incomplete)]

    return complete


Log = Annotated[Path | None, typer.Option("--log", help="Write the log to this file; missing folders are created.")]
Dataset = Annotated[
    str,
    typer.Argument(
        help="A dataset: the name of a file in params/datasets.", autocompletion=_name_completer("datasets")
    ),
]
Method = Annotated[
    str,
    typer.Argument(help="A preset: the name of a file in params/methods.", autocompletion=_name_completer("methods")),
]
Experts = Annotated[
    str,
    typer.Argument(help="Experts: the name of a file in params/experts.", autocompletion=_name_completer("experts")),
]
Protocol = Annotated[
    str,
    typer.Option(
        "--protocol",
        help="A protocol: the name of a file in params/evaluations.",
        autocompletion=_name_completer("evaluations"),
    ),
]
Network = Annotated[str, typer.Option("--network", help="A network's name, or native: the dataset's own.")]
Shard = Annotated[int, typer.Option("--shard", min=0, help="Number of the shard, from 0.")]
Ipc = Annotated[int, typer.Option("--ipc", min=1, help="Images per class.")]
Set = Annotated[int, typer.Option("--set", min=0, help="Number of the synthetic set, from 0.")]
AnyExperiment = Annotated[
    str,
    typer.Argument(
        help="An experiment: the name of a file in params/experiments, or the path of a YAML file elsewhere.",
        autocompletion=_name_completer("experiments"),
    ),
]


def _resolve_experiment_name(context: typer.Context, experiment: str | None) -> str | None:
    """An experiment's name, also if its path is given; the definitions of its file are in params/ afterwards."""
    from dcpipe.params import experiment_file

    if experiment is None or context.resilient_parsing:
        return experiment
    file = experiment_file.load_experiment(ROOT, experiment)
    return load_graph(experiment, write=True)[1] if file.definitions else file.name


NamedExperiment = Annotated[
    str,
    typer.Argument(
        help="An experiment: the name of a file in params/experiments, or the path of a YAML file elsewhere.",
        autocompletion=_name_completer("experiments"),
        callback=_resolve_experiment_name,
    ),
]
OptionalExperiment = Annotated[
    str | None,
    typer.Argument(
        help="An experiment, as for `dcpipe plan`; default: the default experiment and those exported before.",
        autocompletion=_name_completer("experiments"),
        callback=_resolve_experiment_name,
    ),
]
_debug = False


def _say_version(requested: bool) -> None:
    if requested:
        print_lines([f"dcpipe {__version__}"])
        raise typer.Exit


@app.callback()
def _common_options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    _version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    global _debug  # noqa: PLW0603 (one command line, one setting)
    _debug = debug
    environment.require_torch()


def load_graph(experiment: str, *, write: bool = False) -> "tuple[Graph, str]":
    """The graph of an experiment, of params/experiments or of another file, and the experiment's name.

    With `write`, what such a file brings along is checked and then written into params/.
    """
    from dcpipe.params import experiment_file
    from dcpipe.workflow.graph import Graph

    file = experiment_file.load_experiment(ROOT, experiment)
    graph = Graph(ROOT, file.inline_sections)
    if write and file.definitions:
        graph.experiment_jobs(file.name)
        print_written(file.write_definitions())
        graph = Graph(ROOT)
    return graph, file.name


def debugging() -> bool:
    """Whether tracebacks are asked for."""
    return _debug


def send_log_to(path: Path | None) -> None:
    """Send the package's log to a file, and draw no bars; to standard error without one."""
    log = logging.getLogger("dcpipe")
    log.setLevel(logging.INFO)
    handler: logging.Handler = logging.StreamHandler(sys.stderr)
    if path is not None:
        from dcpipe import progress

        progress.be_quiet()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handler = logging.FileHandler(path, mode="a")
        except OSError as error:
            problem = f"the log cannot be written ({error.strerror})"
            raise UserError(problem, where=str(path), remedy="choose another file with --log") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)


def main() -> NoReturn:
    """Run the command line; errors become one line on standard error and an exit code."""
    try:
        # typer returns the code of an Exit here instead of raising it
        code = app(prog_name="dcpipe", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except (Exception, Interrupted) as error:
        if _debug and not isinstance(error, typer.Exit):
            raise
        message, code = explained(error)
        if message:
            print_to_stderr(message)
        sys.exit(code)
    sys.exit(code if isinstance(code, int) else 0)


def explained(error: BaseException) -> tuple[str | None, int]:
    """The message of an error, and the exit code: 2 for the user's mistake, 1 for a failure."""
    match error:
        case typer.Exit():
            message: tuple[str | None, int] = None, error.exit_code
        case DcpipeError():
            message = str(error), error.exit_code
        case Interrupted():
            message = "stopped; run the same command again: it goes on from what was saved", error.exit_code
        case OSError():
            message = f"{error.filename or 'the system'}: {error.strerror or error}; nothing was published", 1
        case ModuleNotFoundError(name=str(name)) if not name.startswith("dcpipe"):
            message = f"{name} is not installed; pip install it, or run `make run`, which sets everything up", 2
        case _ if hasattr(error, "format_message"):  # typer's usage errors
            message = _usage_message(error.format_message(), getattr(error, "ctx", None)), 2
        case _:
            first = (str(error).strip() or "without a message").splitlines()[0]
            message = (
                f"{type(error).__name__}: {first}; this is a bug in dcpipe: run `dcpipe --debug ...` to see where",
                1,
            )
    return message


def _usage_message(problem: str, context: typer.Context | None) -> str | None:
    """A wrong command line, with the help of the command that it names; None where the help was printed already."""
    command = context.command_path if context else "dcpipe"
    return f"{problem.rstrip('.')} (see `{command} --help`)" if problem else None


def print_to_stderr(message: str) -> None:
    """One line on standard error, and in the log file if there is one."""
    sys.stderr.write(f"dcpipe: {message}\n")
    log = logging.getLogger("dcpipe")
    if any(isinstance(handler, logging.FileHandler) for handler in log.handlers):
        log.error(message)


def print_written(paths: list[str]) -> None:
    """What was written into params/, in one line; nothing if nothing was."""
    if paths:
        print_to_stderr(f"wrote {', '.join(paths)}")


def print_lines(lines: Iterable[str]) -> None:
    """Lines on standard output, also where the terminal cannot write every letter."""
    from dcpipe.report.terminal import write_out

    write_out("".join(f"{line}\n" for line in lines))
