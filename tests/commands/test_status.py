"""Laws of `dcpipe status`: what is done, stale, missing and running is told from the artifacts and locks themselves."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import repository
from dcpipe.commands import status
from dcpipe.commands.status import Status
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.state_folder import lock_file

HOLD = (
    "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); sys.stdin.read()"
)


def states(root: Path) -> dict[str, tuple[str, str]]:
    return {one.job.name: (one.state, one.why) for one in status.experiment_status(Graph(root), "tiny")}


def test_everything_is_done_after_a_run_and_missing_before_one(made: Path, root: Path) -> None:
    assert {state for state, _ in states(made).values()} == {"done"}
    found = states(root)
    assert {state for state, _ in found.values()} == {"missing"}
    assert found["data_tiny"][1] == "can be made now"
    assert found["experts_tiny_plain_shard0"][1] == "waits for data_tiny"


def test_what_differs_from_the_params_is_stale_and_all_that_needs_it(tiny: Path) -> None:
    repository.set_params(tiny, "methods/mtt.yaml", {"overrides.tiny.ipc1.outer.images.optimiser.learning_rate": 51.0})
    shutil.rmtree(tiny / "artifacts/synthetic/tiny/random/ipc2")
    found = states(tiny)
    assert found["distill_tiny_mtt_ipc1_set0"][0] == "stale"
    assert "learning_rate" in found["distill_tiny_mtt_ipc1_set0"][1]
    assert found["evaluate_tiny_mtt_ipc1_set0_digits_native"] == ("stale", "waits for distill_tiny_mtt_ipc1_set0")
    assert found["distill_tiny_mtt_ipc2_set0"][0] == "done"
    assert found["distill_tiny_random_ipc2_set0"][0] == "missing"
    assert found["metrics_tiny"][0] == "stale"


def test_a_job_runs_as_long_as_a_process_holds_its_lock(tiny: Path) -> None:
    job = Graph(tiny).make_job("distill", **repository.CELL)
    path = lock_file(job, tiny)
    assert not status.is_running(job, tiny)
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        assert status.is_running(job, tiny)
        assert states(tiny)[job.name][0] == "running"
        os.kill(holder.pid, signal.SIGKILL)
    assert not status.is_running(job, tiny)
    assert states(tiny)[job.name][0] == "done"


def test_the_table_counts_every_job_once(tiny: Path) -> None:
    found = status.experiment_status(Graph(tiny), "tiny")
    table = status.status_lines(found)
    jobs = [int(line.split()[1]) for line in table[1:]]
    assert sum(jobs[:-1]) == jobs[-1] == len(found)
    lost = [*found[:-1], Status(found[-1].job, "missing", "can be made now")]
    assert status.status_lines(lost, every_job=True)[-1] == "missing  metrics_tiny: can be made now"
