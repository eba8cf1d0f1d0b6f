"""Memory and seconds of jobs before they run: measured ones of the same work, else estimates from the shapes.

What a job holds and computes, its stage says (`Stage.work`); here is what a process takes besides. Memory is the
resident memory of the job's process, which counts pages of libraries that are mapped from disk. Loads no torch.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from dcpipe.params.work import Work
from dcpipe.workflow import costs
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.machine import Machine, load_machine
from dcpipe.workflow.stages import STAGES

PROCESS_FACTOR = 1.1  # of what a process takes that has loaded the libraries and made one step: stages load some more
HEAP_FACTOR = 1.4  # of a heap that never gives memory back and lies in pieces, by what is asked of it
START_SECONDS = 1.2  # of a job whatever it does, after the process has started
REQUEST_FACTOR = 1.2  # of a scheduler, for each byte that is expected: a job over its limit is killed
ROUNDED_MB = 100

MEMORY_ERROR = "1.0 to 1.5 times what is used"
SECONDS_ERROR = "a half to twice what is taken"


@dataclass(frozen=True, slots=True)
class ResourceEstimate:
    """What a job will take: peak bytes and seconds, and whether each was measured here, of this work."""

    memory_bytes: int
    seconds: float
    memory_measured: bool = False
    seconds_measured: bool = False


def memory_bytes(machine: Machine, work: Work) -> int:
    """The estimate of the peak of a job's process."""
    return int(PROCESS_FACTOR * machine.process_bytes + HEAP_FACTOR * work.peak_bytes)


def seconds(machine: Machine, work: Work) -> float:
    """The estimate of a job's seconds on one thread of this machine."""
    return START_SECONDS + work.calls * machine.seconds_per_call + work.operations / machine.operations_per_second


@dataclass(slots=True)
class Estimates:
    """What the jobs of an experiment take, from what was measured of some of them."""

    graph: Graph
    machine: Machine
    jobs: Iterable[Job]
    _measured: dict[str, dict[Work, list[costs.MeasuredCosts]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for job in self.jobs:
            measured = costs.measured_costs(self.graph.root / job.costs_path)
            if measured:
                self._measured.setdefault(job.stage, {}).setdefault(self.estimate_work(job), []).append(measured)

    def estimate_work(self, job: Job) -> Work:
        """What the job's stage says of it."""
        return STAGES[job.stage].estimate_work(self.graph, job)

    def estimate(self, job: Job) -> ResourceEstimate:
        """Of jobs of the same work the largest peak and the mean time, if any was measured here.

        Else the memory is estimated; and the time is that of the measured jobs of the stage whose estimate is nearest,
        scaled by the two estimates, or estimated if no job of the stage was measured.
        """
        work, measured = self.estimate_work(job), self._measured.get(job.stage, {})
        if work in measured:
            same = measured[work]
            return ResourceEstimate(
                max(one.peak_bytes for one in same),
                statistics.fmean(one.seconds for one in same),
                memory_measured=True,
                seconds_measured=True,
            )
        time = seconds(self.machine, work)
        if measured:
            nearest = min(measured, key=lambda other: abs(math.log(seconds(self.machine, other) / time)))
            taken = statistics.fmean(one.seconds for one in measured[nearest])
            time *= taken / seconds(self.machine, nearest)
        return ResourceEstimate(memory_bytes(self.machine, work), time)


def requested_mb(graph: Graph, job: Job) -> int:
    """The memory that a job asks a scheduler for: more than the estimate, and at least what its stage states.

    What was measured of other jobs does not count: what is asked for is the same before and after them.
    """
    work = STAGES[job.stage].estimate_work(graph, job)
    needed = REQUEST_FACTOR * memory_bytes(load_machine(graph.root), work) / 1e6
    return max(job.resources.mem_mb, math.ceil(needed / ROUNDED_MB) * ROUNDED_MB)
