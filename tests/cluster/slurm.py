"""A real SLURM cluster of one node on the loopback, with two fake GPUs or more: munged, slurmctld and slurmd of this
machine's packages, started without systemd in a folder of their own and ended by their process ids. By hand:

    python tests/cluster/slurm.py bash      # any command; the cluster is there as long as it runs
    python tests/cluster/slurm.py --gpus 6 COMMAND ...

The GPUs are names of /dev/null: which job gets which one, and CUDA_VISIBLE_DEVICES, are SLURM's real work; no job
computes on them.
"""

import argparse
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
CLIENTS = ("sbatch", "srun", "squeue", "scancel", "scontrol")
CORES = 8  # declared, that jobs really run at the same time
CONF = """\
ClusterName=one
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
# no cgroups: a container has none to give
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
GresTypes=gpu
# finished jobs stay visible to squeue
MinJobAge=3600
KillWait={kill_wait}
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=2,bf_interval=5,batch_sched_delay=0
PropagateResourceLimits=NONE
# a job of the partition urgent takes the place of one of gpu, which waits and begins again
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=localhost NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cores} RealMemory=12000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=cpu Nodes=localhost Default=YES MaxTime=INFINITE State=UP DefMemPerCPU=500 PriorityTier=1 PreemptMode=OFF
PartitionName=gpu Nodes=localhost MaxTime=INFINITE State=UP DefMemPerCPU=500 PriorityTier=1 GraceTime={kill_wait}
PartitionName=urgent Nodes=localhost MaxTime=INFINITE State=UP DefMemPerCPU=500 PriorityTier=2
"""
GRES = "AutoDetect=off\nNodeName=localhost Name=gpu File={folder}/gpu[0-{last_gpu}]\n"


def missing() -> list[str]:
    """The programs that a cluster needs and this machine does not have."""
    return [name for name in (*DAEMONS, *CLIENTS) if _program(name) is None]


def _program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


@dataclass
class Slurm:
    """A running cluster."""

    folder: Path
    kill_wait: int = 30  # seconds between SIGTERM and SIGKILL
    gpus: int = 2
    _daemons: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> dict[str, str]:
        """The environment in which a command finds this cluster and no other, and this interpreter's programs."""
        search = f"{self.folder / 'bin'}:{Path(sys.executable).parent}:{os.environ.get('PATH', '')}:/usr/sbin"
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": search}

    def start(self) -> None:
        """Bring it up. Raises: AssertionError, with the end of the logs, if the node is not idle within a minute."""
        self._write()
        key, socket_path = self.folder / "munge.key", self.folder / "munge.socket"
        munge = ["--foreground", "--force", f"--key-file={key}", f"--socket={socket_path}", "--num-threads=2"]
        files = [f"--{name}-file={self.folder}/munge.{name}" for name in ("pid", "log", "seed")]
        self._daemon("munged", *munge, *files)
        self._until(socket_path.exists, "munged")
        self._daemon("slurmctld", "-D", "-f", str(self.folder / "slurm.conf"))
        self._daemon("slurmd", "-D", "-f", str(self.folder / "slurm.conf"), "-N", "localhost")
        self._until(lambda: self.node_state() == "idle", "slurmd")

    def stop(self) -> None:
        """End the jobs and the daemons that this object started, and nothing else."""
        for line in self.run("squeue", "--noheader", "--format=%i", ok=False).split():
            self.run("scancel", line, ok=False)
        deadline = time.monotonic() + self.kill_wait + 10
        while self.run("squeue", "--noheader", "--states=running,completing", ok=False) and time.monotonic() < deadline:
            time.sleep(0.5)
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in reversed(self._daemons):
            try:
                daemon.wait(timeout=20)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()

    def run(self, *command: str, ok: bool = True) -> str:
        """What a client says."""
        environment = {**os.environ, **self.settings}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
        assert not ok or done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def node_state(self) -> str:
        return self.run("sinfo", "--noheader", "--format=%T", "--partition=cpu", ok=False)

    def job(self, number: str) -> dict[str, str]:
        """What the controller knows of a job."""
        words = self.run("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def jobs(self, states: str = "all") -> list[str]:
        """The numbers of the jobs in some states, in the order of their submission."""
        return sorted(self.run("squeue", "--noheader", "--format=%i", f"--states={states}").split(), key=int)

    def _write(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(self.gpus):
            (self.folder / f"gpu{index}").symlink_to("/dev/null")
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o600)
        values = {
            "folder": self.folder,
            "host": socket.gethostname().partition(".")[0],
            "user": _user(),
            "kill_wait": self.kill_wait,
            "cores": CORES,
            "gpus": self.gpus,
            "last_gpu": self.gpus - 1,
            "controller_port": _free_port(),
            "node_port": _free_port(),
        }
        (self.folder / "slurm.conf").write_text(CONF.format(**values))
        (self.folder / "gres.conf").write_text(GRES.format(**values))
        # the executor takes SLURM_CONF from the environment of the srun inside a job
        srun = self.folder / "bin/srun"
        srun.parent.mkdir(exist_ok=True)
        srun.write_text(f'#!/bin/sh\nSLURM_CONF={self.folder}/slurm.conf exec {_program("srun")} "$@"\n')
        srun.chmod(0o755)

    def _daemon(self, name: str, *arguments: str) -> None:
        program = _program(name)
        assert program is not None, f"{name} is not installed: `make cluster` installs it"
        with (self.folder / f"{name}.out").open("wb") as out:
            # in a session of their own: Ctrl-C is for who uses the cluster
            daemon = subprocess.Popen([program, *arguments], stdout=out, stderr=out, start_new_session=True)
            self._daemons.append(daemon)

    def _until(self, ready: object, what: str) -> None:
        deadline = time.monotonic() + 60
        while not ready():  # type: ignore[operator]
            assert time.monotonic() < deadline, f"{what} did not come up:\n{self._logs()}"
            time.sleep(0.2)

    def _logs(self) -> str:
        files = [*self.folder.glob("*.out"), *self.folder.glob("*.log")]
        return "\n".join(f"{file.name}: {line}" for file in files for line in file.read_text().splitlines()[-5:])


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def main(arguments: list[str]) -> int:
    """Run a command beside a cluster of its own; returns the command's exit status."""
    parser = argparse.ArgumentParser(prog="slurm.py", description="Run a command beside a SLURM of its own.")
    parser.add_argument("--gpus", type=int, default=2, choices=range(1, CORES + 1), help="how many fakes (default: 2)")
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND ...")
    given = parser.parse_args(arguments)
    if not given.command:
        parser.error("name a command")
    if missing():
        parser.error(f"not installed: {', '.join(missing())}; run tests/cluster/install")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="slurm-") as folder:
        cluster = Slurm(Path(folder), gpus=given.gpus)
        try:
            cluster.start()
            return _beside(cluster, given.command)
        finally:
            cluster.stop()


def _beside(cluster: Slurm, command: list[str]) -> int:
    """The command's exit status; Ctrl-C reaches it by itself, and what it does then is waited for."""
    try:
        child = subprocess.Popen(command, env={**os.environ, **cluster.settings})
    except OSError as error:
        print(f"slurm.py: {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
        return 127
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
        except SystemExit:
            child.terminate()
            child.wait()
            raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
