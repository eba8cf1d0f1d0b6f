"""Running jobs inside somebody's process: one after the other, with a line of progress, and no setting left changed."""

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from dcpipe.commands import plan, status
from dcpipe.commands.run_output import RunOutput
from dcpipe.params import shipped
from dcpipe.provenance import code_identity
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.runner import ABSENT, WAITING, ExperimentRunner
from dcpipe.workflow.stages import STAGES


def run_jobs(graph: Graph, targets: Sequence[Job]) -> None:
    """Make the artifacts of jobs, and of all that they need, unless they are there and current.

    Raises: whatever ended a job; KeyboardInterrupt after Ctrl-C or SIGTERM, when what there is to save is saved.
    """
    if shipped.is_project(graph.root):
        code_identity.update_file(graph.root)
    jobs = graph.with_dependencies(targets)
    waiting = [one.job for one in status.job_statuses(graph, jobs) if one.state != "done"]
    if not waiting:
        return
    plan.refuse_insufficient_space(plan.disk_bytes(graph, waiting), graph.root)
    with _restoring_threads_and_log():
        output = RunOutput.for_run(graph, jobs, tuple(STAGES), own_logs=True)
        lacking = None
        try:
            for outcome in ExperimentRunner(graph, begin=output.begin).run_jobs(jobs):
                output.end(outcome)
                if outcome.error is not None:
                    raise outcome.error
                if outcome.state in ABSENT:
                    lacking = outcome
                    break
        finally:
            output.close()
    if lacking is not None and lacking.state in WAITING:
        raise KeyboardInterrupt("stopped; the same call goes on from what was saved")


@contextmanager
def _restoring_threads_and_log() -> Iterator[None]:
    """What jobs set for their arithmetic, and where they log, is as before afterwards."""
    log = logging.getLogger("dcpipe")
    handlers, level = log.handlers[:], log.level
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    benchmark, cudnn, cuda = (
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
    )
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_deterministic_debug_mode(mode)
        torch.backends.cudnn.benchmark = benchmark
        torch.backends.cudnn.allow_tf32 = cudnn
        torch.backends.cuda.matmul.allow_tf32 = cuda
        log.handlers[:], log.level = handlers, level
        sys.stderr.flush()
