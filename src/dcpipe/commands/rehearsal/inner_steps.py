"""Students of fewer inner steps, from which the cost of those of many is told."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from dcpipe.params.method import Method
from dcpipe.params.sharpness import NoSharpness
from dcpipe.params.trajectory import Trajectory, Truncated
from dcpipe.workflow.job import Job

FEW = 6  # inner steps of a short student, or a few more


@dataclass(frozen=True, slots=True)
class InnerLengths:
    """So `few` and so many `more` inner steps are tried for `all` of them; the three are equal where all are tried."""

    few: int
    more: int
    all: int


def inner_lengths(job: Job) -> InnerLengths:
    """How many inner steps to try: numbers of which every share that the method names is whole."""
    method = job.sections.get("method")
    if not isinstance(method, Method) or not isinstance(method.matching, Trajectory):
        return InnerLengths(1, 1, 1)
    shares = [method.matching.hypergradient.kept] if isinstance(method.matching.hypergradient, Truncated) else []
    if method.outer and not isinstance(method.outer.sharpness, NoSharpness):
        shares.append(method.outer.sharpness.second_pass.steps)
    unit = math.lcm(1, *(Fraction(share).denominator for share in shares))
    few, steps = unit * math.ceil(FEW / unit), method.matching.inner_steps
    return InnerLengths(few, 2 * few, steps) if steps > 2 * few else InnerLengths(steps, steps, steps)


def with_inner(job: Job, steps: int) -> Job:
    """The job with so many inner steps, where it has any."""
    method = job.sections.get("method")
    if not isinstance(method, Method) or not isinstance(method.matching, Trajectory):
        return job
    shorter = replace(method, matching=replace(method.matching, inner_steps=steps))
    return replace(job, sections={**job.sections, "method": shorter})
