"""Students with fewer inner steps: the cost of long inner loops is extrapolated from shorter ones."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from dcpipe.params.axis import axis_values_in
from dcpipe.params.method import Method
from dcpipe.workflow.job import Job

FEW_STEPS = 6  # inner steps of a short student, or a few more


@dataclass(frozen=True, slots=True)
class InnerStepCounts:
    """So `few` and so many `more` inner steps are tried for `all` of them; the three are equal where all are tried."""

    few: int
    more: int
    all: int


def inner_step_counts(job: Job) -> InnerStepCounts:
    """How many inner steps to try: numbers of which every share that the method names is whole."""
    method = job.sections.get("method")
    inner = method.matching.inner_loop if isinstance(method, Method) else None
    if not isinstance(method, Method) or inner is None:
        return InnerStepCounts(1, 1, 1)
    shares = [share for _, value in axis_values_in(method) for share in value.inner_step_fractions]
    unit = math.lcm(1, *(Fraction(share).denominator for share in shares))
    few, steps = unit * math.ceil(FEW_STEPS / unit), inner.steps
    return InnerStepCounts(few, 2 * few, steps) if steps > 2 * few else InnerStepCounts(steps, steps, steps)


def with_inner_steps(job: Job, steps: int) -> Job:
    """The job with so many inner steps, where it has any."""
    method = job.sections.get("method")
    if not isinstance(method, Method) or method.matching.inner_loop is None:
        return job
    shorter = replace(method, matching=method.matching.with_inner_steps(steps))
    return replace(job, sections={**job.sections, "method": shorter})
