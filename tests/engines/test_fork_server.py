"""Laws of the fork server: a fork is to its engine, its user and its numbers what a process of its own is.

Most laws are tried with forks that run a few lines of Python and are quickly made; two with the command line itself.
"""

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

import repository
from dcpipe.engines import fork_client, fork_server
from dcpipe.workflow import engine_watch

pytestmark = pytest.mark.slow

BODIES = Path(__file__).with_name("fork_bodies.py")
ASK = """
import sys
from dcpipe.engines import fork_client
fork_client.run_in_fork(sys.argv[1:])
print("in this process")
"""
START = (
    "import subprocess; real = subprocess.Popen; "
    "subprocess.Popen = lambda command, **how: real([command[0], {bodies!r}, command[-1]], **how)"
)
PARENT = "import os; print(os.getppid(), flush=True)"
LISTENING = """
import os, signal, time
signal.signal(signal.{name}, lambda *_: (os.write(1, b'heard\\n'), exit(75)))
print('ready', flush=True)
while True: time.sleep(0.01)
"""


@dataclass
class Run:
    """A run whose first process is a child of this one, with a folder for its servers."""

    root: Path
    folder: Path
    first: "subprocess.Popen[bytes]"

    @property
    def environment(self) -> dict[str, str]:
        key = engine_watch.key(os.uname().nodename, engine_watch.namespace(), self.first.pid)
        single = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(repository.ROOT / "src")}
        return {**os.environ, **single, engine_watch.ENVIRONMENT_VARIABLE: key, fork_client.FOLDER: str(self.folder)}

    def start(self, body: str, **changed: str) -> "subprocess.Popen[str]":
        """A job whose work is a few lines of Python."""
        code = START.format(bodies=str(BODIES)) + ASK
        file = self.root / f"{hashlib.sha256(body.encode()).hexdigest()[:8]}.py"
        file.write_text(body)
        command = [sys.executable, "-c", code, "--log", file.name]
        pipe, environment = subprocess.PIPE, {**self.environment, **changed}
        return subprocess.Popen(command, cwd=self.root, env=environment, stdout=pipe, stderr=pipe, text=True)

    def said(self, body: str, **changed: str) -> tuple[int, str, str]:
        """Exit code, output and errors of such a job."""
        with self.start(body, **changed) as job:
            out, errors = job.communicate(timeout=60)
        return job.returncode, out.strip(), errors.strip()

    def server(self) -> int:
        """The number of the server's process."""
        return int(self.said(PARENT)[1])


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    folder = tmp_path / "s"
    folder.mkdir()
    (folder / fork_server.EXPERIMENT).write_text("none")
    (tmp_path / "watched.py").write_text("")
    first = subprocess.Popen(["sleep", "300"])
    yield Run(tmp_path, folder, first)
    first.kill()
    first.wait()


def gone(pid: int) -> bool:
    return engine_watch.start_time(pid) is None


def eventually(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 20
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.02)
    return holds()


def test_jobs_of_a_run_are_forks_of_one_process(run: Run) -> None:
    parents = {run.said(PARENT)[1] for _ in range(3)}
    assert len(parents) == 1
    assert parents.isdisjoint({str(os.getpid()), ""})


@pytest.mark.parametrize(
    ("body", "ended"),
    [
        ("print('out'); import sys; sys.stderr.write('err'); sys.exit(7)", (7, "out", "err")),
        ("print('out')", (0, "out", "")),
        ("import os; os.system('echo child'); os.kill(os.getpid(), 9)", (-9, "child", "")),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", (-11, "", "")),
        ("import os; print(os.environ['DVC_STAGE'], os.getcwd() == os.environ['ROOT'])", (0, "one True", "")),
    ],
    ids=["code", "success", "killed", "crashed", "environment"],
)
def test_a_job_ends_as_its_fork_ends(run: Run, body: str, ended: tuple[int, str, str]) -> None:
    assert run.said(body, DVC_STAGE="one", ROOT=str(run.root)) == ended


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name)
def test_a_signal_reaches_the_fork_which_may_answer_it(run: Run, number: signal.Signals) -> None:
    with run.start(LISTENING.format(name=number.name)) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(number)
        assert job.stdout.read() == "heard\n"
    assert job.returncode == 75


def test_a_fork_without_handlers_dies_of_the_signal(run: Run) -> None:
    with run.start("import time; print('ready', flush=True); time.sleep(60)") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.terminate()
    assert job.returncode == -signal.SIGTERM


def test_what_kills_the_jobs_process_kills_the_fork(run: Run) -> None:
    body = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    with run.start(body) as job:
        assert job.stdout is not None
        fork = int(job.stdout.readline())
        job.kill()
        assert eventually(lambda: gone(fork))


def test_a_job_stops_and_goes_on_with_its_fork(run: Run) -> None:
    with run.start("import os, time; print(os.getpid(), flush=True); time.sleep(60)") as job:
        assert job.stdout is not None
        fork = int(job.stdout.readline())
        for number, state in ((signal.SIGTSTP, psutil.STATUS_STOPPED), (signal.SIGCONT, psutil.STATUS_SLEEPING)):
            job.send_signal(number)
            assert eventually(lambda state=state: {psutil.Process(pid).status() for pid in (job.pid, fork)} == {state})
        job.kill()


def test_a_fork_is_asked_to_leave_when_its_server_dies(run: Run) -> None:
    body = LISTENING.format(name="SIGTERM").replace("'ready'", "os.getppid()")
    with run.start(body) as job:
        assert job.stdout is not None
        assert job.stderr is not None
        os.kill(int(job.stdout.readline()), signal.SIGKILL)
        assert job.stdout.read() == "heard\n"
        assert "was ended from outside; start the same command again" in job.stderr.read()
    assert job.returncode == 1


def test_every_fork_has_random_numbers_of_its_own_and_one_thread(run: Run) -> None:
    body = "import os, random, numpy; print(random.random(), numpy.random.random(), len(os.listdir('/proc/self/task')))"
    first, second = (run.said(body)[1].split() for _ in range(2))
    assert set(first) & set(second) == {"1"}


def test_forks_at_once_do_not_wait_for_each_other(run: Run) -> None:
    run.server()
    body = "import time; print('ready', flush=True); time.sleep({})"
    with run.start(body.format(30)) as long, run.start(body.format(0)) as short:
        assert long.stdout is not None
        assert long.stdout.readline() == "ready\n"
        assert short.wait(20) == 0
        assert long.poll() is None
        long.kill()


def test_an_edited_source_or_another_thread_leave_a_job_to_itself(run: Run) -> None:
    assert run.said("print('in a fork')")[1] == "in a fork"
    (run.root / "watched.py").write_text("edited")
    assert run.said("print('in a fork')")[1] == "in this process"
    (run.root / "threads").touch()
    assert run.said("print('in a fork')", OTHER="surroundings")[1] == "in this process"


def test_other_surroundings_have_another_server(run: Run) -> None:
    here, elsewhere = run.server(), int(run.said(PARENT, OMP_NUM_THREADS="2")[1])
    assert here != elsewhere
    run.first.kill()
    run.first.wait()
    assert eventually(lambda: gone(here) and gone(elsewhere))


def test_a_server_leaves_with_its_run_and_removes_its_folder(run: Run) -> None:
    server = run.server()
    with run.start("import time; print('ready', flush=True); time.sleep(2); print('done')") as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        run.first.kill()
        run.first.wait()
        assert job.stdout.read() == "done\n"
    assert job.returncode == 0
    assert eventually(lambda: gone(server) and not run.folder.exists())


@pytest.mark.parametrize("changed", [{"DCPIPE_FORK_SERVER": "off"}, {"DCPIPE_RUN": "elsewhere/pid:[1]/1"}, {}])
def test_without_a_server_the_process_does_the_job(run: Run, changed: Mapping[str, str]) -> None:
    if not changed:
        shutil.rmtree(run.folder)
    assert run.said("print('in a fork')", **changed)[1] == "in this process"


def test_a_run_offers_a_folder_for_its_user_alone_and_removes_it(tmp_path: Path) -> None:
    show = "print(folder := os.environ['DCPIPE_FORK_SERVER'], oct(os.stat(folder).st_mode) if folder != 'off' else '')"
    code = f"import os; from dcpipe.engines import fork_server; fork_server.enable_forks('x'); {show}"
    folder, mode = repository.child(tmp_path, "-c", code).stdout.split()
    assert mode == "0o40700"
    assert not Path(folder).exists()
    assert repository.child(tmp_path, "-c", code, DCPIPE_FORK_SERVER="off").stdout.split() == ["off"]


COMMANDS = (
    "data tiny",
    "experts tiny plain --shard 0",
    "experts tiny plain --shard 1",
    "distill tiny mtt --ipc 1",
    "evaluate tiny mtt --ipc 1 --protocol digits",
)


def test_forks_make_the_bytes_of_processes_and_their_mistakes(run: Run, made: Path, tmp_path: Path) -> None:
    root = repository.copy_params(tmp_path / "root")
    (run.folder / fork_server.EXPERIMENT).write_text("tiny")
    for command in COMMANDS:
        done = _dcpipe(run, root, *command.split(), "--log", "logs/all.log")
        assert done.returncode == 0, done.stderr
    assert _computed_by_forks(run) > 0
    mistaken = _dcpipe(run, root, "distill", "tiny", "mttt", "--ipc", "1", "--log", "logs/one.log")
    assert mistaken.returncode == 2
    assert mistaken.stderr.startswith("dcpipe: ")
    assert "did you mean mtt?" in mistaken.stderr
    assert "did you mean mtt?" in (root / "logs/one.log").read_text()
    for folder in ("data/tiny", "experts/tiny/plain", "synthetic/tiny/mtt/ipc1"):
        ours, others = (repository.bytes_below(where / "artifacts" / folder) for where in (root, made))
        assert ours == others


def _computed_by_forks(run: Run) -> float:
    """CPU seconds of the forks of the one server that has ended any."""
    told = {engine_watch.ENVIRONMENT_VARIABLE: run.environment[engine_watch.ENVIRONMENT_VARIABLE]}.items()
    servers = [one for one in psutil.process_iter() if one.pid != run.first.pid and told <= environment_of(one).items()]
    (server,) = servers
    return float(server.cpu_times().children_user)


def environment_of(process: psutil.Process) -> dict[str, str]:
    try:
        return dict(process.environ())
    except psutil.Error:
        return {}


def _dcpipe(run: Run, root: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {**run.environment, "DCPIPE_DEVICE": "cpu"}
    command = [sys.executable, "-P", "-m", "dcpipe", *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
