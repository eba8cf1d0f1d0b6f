"""Laws of a run's progress: what is left is what like jobs took, divided by how many run side by side."""

import io
from collections import Counter
from itertools import pairwise

import pytest

from dcpipe.workflow.progress_line import MIN_SECONDS, ProgressLine
from dcpipe.workflow.run_progress import ExpectedJob, RunProgress, duration

KNOWN = {f"evaluate_{number}": ExpectedJob("evaluate", 10.0) for number in range(4)} | {
    "distill_0": ExpectedJob("distill", 100.0),
    "distill_1": ExpectedJob("distill", None),
    "report_0": ExpectedJob("report", None),
}


def _progress(slots: int = 1, **to_run: int) -> RunProgress:
    return RunProgress(Counter(to_run), 0.0, KNOWN, slots)


def test_without_a_measurement_nothing_is_promised() -> None:
    progress = RunProgress(Counter(distill=2), 0.0)
    assert progress.seconds_left(0.0) is None
    progress.start("distill_0", "distill", 0.0)
    assert progress.state(5.0) == "0 of 2 jobs, running distill_0"
    progress.finish("distill_0", 40.0)
    assert progress.seconds_left(40.0) == 40.0


def test_jobs_take_what_they_took_and_others_the_mean_of_their_stage() -> None:
    assert _progress(evaluate=4).seconds_left(0.0) == 40.0
    assert _progress(evaluate=4, distill=2).seconds_left(0.0) == 240.0
    assert _progress(evaluate=4, report=1).seconds_left(0.0) == 40.0 + (4 * 10.0 + 100.0) / 5


def test_jobs_side_by_side_divide_the_time_but_not_the_longest_one() -> None:
    assert _progress(2, evaluate=4).seconds_left(0.0) == 20.0
    assert _progress(64, evaluate=4).seconds_left(0.0) == 10.0
    assert _progress(4, evaluate=4, distill=1).seconds_left(0.0) == 100.0


def test_a_running_job_takes_the_rest_of_its_time_never_less_than_0() -> None:
    progress = _progress(evaluate=1)
    progress.start("evaluate_0", "evaluate", 0.0)
    assert [progress.seconds_left(now) for now in (0.0, 4.0, 10.0, 99.0)] == [10.0, 6.0, 0.0, 0.0]


def test_a_machine_twice_as_slow_doubles_what_is_left() -> None:
    progress = _progress(evaluate=4)
    progress.start("evaluate_0", "evaluate", 0.0)
    progress.finish("evaluate_0", 20.0)
    assert progress.seconds_left(20.0) == 3 * 20.0


def test_a_failed_job_is_named_until_it_runs_again() -> None:
    progress = _progress(evaluate=2)
    progress.start("evaluate_0", "evaluate", 0.0)
    progress.fail("evaluate_0")
    assert "1 failed" in progress.state(1.0)
    progress.start("evaluate_0", "evaluate", 1.0)
    assert "failed" not in progress.state(1.0)
    progress.remove_one("evaluate")
    progress.finish("evaluate_0", 2.0)
    assert (progress.done, progress.total) == (1, 1)
    assert progress.state(2.0) == "1 of 1 job"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.2, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (3569.0, "59 min"), (12000.0, "3 h 20 min"), (190800.0, "2 d 5 h")],
)
def test_durations_are_said_in_the_two_largest_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.parametrize("seconds_per_job", [0.5, 7.0, 700.0])
def test_a_file_gets_a_line_a_minute_at_most(seconds_per_job: float) -> None:
    now, written = 0.0, list[float]()

    class Lines(io.StringIO):
        def write(self, text: str) -> int:
            written.append(now)
            return super().write(text)

    stream = Lines()
    progress = RunProgress(Counter(distill=100), 0.0)
    line = ProgressLine(progress, stream, seconds_between=3600.0, clock=lambda: now)
    for number in range(100):
        line.update(lambda one, at, name=f"distill_{number}": one.start(name, "distill", at))
        now += seconds_per_job
        line.update(lambda one, at, name=f"distill_{number}": one.finish(name, at))
    line.close()
    said = stream.getvalue().splitlines()
    assert said[-1] == f"100 of 100 jobs done in {duration(now)}"
    assert all(after - before >= MIN_SECONDS for before, after in pairwise(written[:-1]))
    assert len(said) <= (30 if seconds_per_job < 60 else 101)
