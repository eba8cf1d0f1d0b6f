"""Laws of devices: no two processes on one, none forgotten, nothing left behind by the dead. No accelerator needed."""

import json
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import pytest

import repository
from dcpipe import device
from dcpipe.errors import Interrupted, UserError
from dcpipe.workflow import device_pool
from dcpipe.workflow.stopping import request_stop, stopping_on_signals

HOLDER = Path(__file__).with_name("device_holder.py")
SNAKEFILE = """
rule all:
    input: [f"{{i}}.json" for i in range({jobs})]

rule hold:
    output: "{{i}}.json"
    resources: gpu=1
    shell: "{python} {holder} 0.05 {{output}}"
"""


@pytest.fixture
def pool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of processes that share two simulated devices with nobody else."""
    (tmp_path / "locks").mkdir()
    settings = {"TMPDIR": str(tmp_path / "locks"), device_pool.SIMULATED: "2", "OMP_NUM_THREADS": "1"}
    return {**os.environ, **settings, "PYTHONPATH": str(repository.ROOT / "src")}


def hold(pool: dict[str, str], file: Path, seconds: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, str(HOLDER), str(seconds), str(file)], env=pool)


def read(file: Path) -> dict[str, float]:
    """What a stand-in job noted, once it has."""
    deadline = time.monotonic() + 60
    while not (file.is_file() and file.stat().st_size):
        assert time.monotonic() < deadline, f"{file.name} was never written"
        time.sleep(0.02)
    found: dict[str, float] = json.loads(file.read_text())
    return found


def waiting(tmp_path: Path, count: int) -> None:
    """Return once so many processes wait for a device."""
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("locks/*/*.waiting"))) != count:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize("limit", [("--cores", "all", "--resources", "gpu=2"), ("--cores", "30")])
def test_thirty_jobs_all_run_and_no_two_on_one_device_at_once(
    limit: tuple[str, ...], pool: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(jobs=30, python=sys.executable, holder=HOLDER))
    command = [sys.executable, "-m", "snakemake", "--quiet", "all", *limit]
    done = subprocess.run(command, cwd=tmp_path, env=pool, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    held = [read(tmp_path / f"{index}.json") for index in range(30)]
    assert {job["device"] for job in held} <= {0, 1}
    for index in (0, 1):
        turns = sorted((job["begun"], job["ended"]) for job in held if job["device"] == index)
        assert all(earlier[1] <= later[0] for earlier, later in pairwise(turns))


def test_a_device_is_free_when_its_holder_is_killed(pool: dict[str, str], tmp_path: Path) -> None:
    holders = [hold(pool, tmp_path / f"{index}.json", 600) for index in range(2)]
    devices = {index: int(read(tmp_path / f"{index}.holds")["device"]) for index in range(2)}
    assert set(devices.values()) == {0, 1}
    third = hold(pool, tmp_path / "third.json", 0)
    waiting(tmp_path, 1)
    holders[1].send_signal(signal.SIGKILL)
    assert read(tmp_path / "third.json")["device"] == devices[1]
    holders[0].kill()
    assert [process.wait() for process in (*holders, third)] == [-9, -9, 0]


def test_who_comes_first_is_served_first_and_the_dead_lose_their_place(pool: dict[str, str], tmp_path: Path) -> None:
    pool = {**pool, device_pool.SIMULATED: "1"}
    holder = hold(pool, tmp_path / "holder.json", 600)
    read(tmp_path / "holder.holds")
    queue = []
    for index in range(4):
        queue.append(hold(pool, tmp_path / f"{index}.json", 0))
        waiting(tmp_path, index + 1)
    queue[1].send_signal(signal.SIGKILL)
    queue[1].wait()
    holder.kill()
    holder.wait()
    begun = [read(tmp_path / f"{index}.json")["begun"] for index in (0, 2, 3)]
    assert begun == sorted(begun)
    assert [process.wait() for process in queue] == [0, -9, 0, 0]
    assert not (tmp_path / "1.json").exists()
    assert not list(tmp_path.glob("locks/*/*.waiting"))


@pytest.fixture
def here(pool: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process in the same pool, without a device named for it."""
    monkeypatch.setattr("tempfile.tempdir", pool["TMPDIR"])
    monkeypatch.delenv("DCPIPE_DEVICE", raising=False)
    monkeypatch.setenv(device_pool.SIMULATED, "2")
    monkeypatch.setattr(device_pool, "_held", {})


@pytest.mark.usefixtures("here")
def test_a_process_keeps_its_device_for_all_of_its_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [device_pool.take_device(device_pool.simulated_devices()) for _ in range(2)] == [0, 0]
    held = device_pool._held
    monkeypatch.setattr(device_pool, "_held", {})  # as another process sees it
    assert [device_pool.take_device(device_pool.simulated_devices()) for _ in range(2)] == [1, 1]
    assert set(held) == {"simulated-0"}


@pytest.mark.usefixtures("here")
def test_a_job_that_waits_for_a_device_leaves_when_it_is_asked_to(pool: dict[str, str], tmp_path: Path) -> None:
    holders = [hold(pool, tmp_path / f"{index}.json", 600) for index in range(2)]
    for index in range(2):
        read(tmp_path / f"{index}.holds")
    with stopping_on_signals():
        request_stop()
        with pytest.raises(Interrupted):
            device.choose()
    assert not device_pool._held
    assert not list(tmp_path.glob("locks/*/*.waiting"))
    for holder in holders:
        holder.kill()
        holder.wait()


@pytest.mark.usefixtures("here")
def test_a_number_of_devices_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device_pool.SIMULATED, "none")
    with pytest.raises(UserError, match="DCPIPE_SIMULATED_DEVICES"):
        device.choose()


def test_devices_are_shared_evenly_and_by_no_more_than_allowed(pool: dict[str, str], tmp_path: Path) -> None:
    pool = {**pool, device_pool.PER_DEVICE: "2"}
    holders = []
    for index in range(4):
        holders.append(hold(pool, tmp_path / f"{index}.json", 600))
        read(tmp_path / f"{index}.holds")
    devices = [int(read(tmp_path / f"{index}.holds")["device"]) for index in range(4)]
    assert devices == [0, 1, 0, 1]
    fifth = hold(pool, tmp_path / "fifth.json", 0)
    waiting(tmp_path, 1)
    holders[2].kill()
    assert read(tmp_path / "fifth.json")["device"] == 0
    assert fifth.wait() == 0
    for holder in holders:
        holder.kill()
        holder.wait()


@pytest.mark.usefixtures("here")
def test_a_number_of_jobs_a_device_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(device_pool.PER_DEVICE, "0")
    with pytest.raises(UserError, match="DCPIPE_JOBS_PER_DEVICE: '0' is not a number of jobs"):
        device.choose()
