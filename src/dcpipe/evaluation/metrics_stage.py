"""The metrics of an experiment: every cell's mean, spread and n in one file, for `dvc metrics` and the report."""

import json
import statistics
from collections import defaultdict

from dcpipe.workflow.job import Job
from dcpipe.workflow.task import Task

CellKey = tuple[str, str, int, str, str]


def cell_key(job: Job) -> CellKey:
    """The cell that an evaluation belongs to: dataset, method, ipc, protocol, network. Sets are pooled."""
    wildcards = job.wildcards
    return (
        wildcards["dataset"],
        wildcards["method"],
        int(wildcards["ipc"]),
        wildcards["evaluation"],
        wildcards["network"],
    )


def run(task: Task) -> None:
    """Pool the networks of all sets of a cell; the deviation is the population's, as in the literature."""
    runs: dict[CellKey, list[float]] = defaultdict(list)
    jobs = task.section("scores", tuple)
    for job, path in zip(jobs, task.inputs("scores"), strict=True):
        runs[cell_key(job)] += json.loads(path.read_text())["accuracies"]
    cells: dict[str, object] = {}
    for (dataset, method, ipc, protocol, network), values in sorted(runs.items()):
        name = f"{dataset}/{method}/ipc{ipc}/{protocol}/{network}"
        cells[name] = {"mean": statistics.fmean(values), "std": statistics.pstdev(values), "n": len(values)}
    task.output("metrics").write_text(json.dumps(cells, indent=1) + "\n")
