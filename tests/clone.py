"""A real clone of this repository in a folder of its own, driven through its command lines."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
EXPERIMENT = "tiny"
DVC_FILE = f"experiments/{EXPERIMENT}/dvc.yaml"


@dataclass
class Clone:
    """The clone's folder; every command runs in it, with the clone's own code and these settings."""

    path: Path
    settings: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def make(cls, path: Path, settings: Mapping[str, str] | None = None) -> "Clone":
        """A git repository with what git tracks or would track here, but nothing that a run made or recorded."""
        listed = _run(["git", "ls-files", "--cached", "--others", "--exclude-standard"], ROOT).stdout.split()
        for name in listed:
            if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("experiments/"):
                target = path / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, target)
        clone = cls(path, settings or {})
        clone.git("init", "-q")
        clone.commit("all")
        return clone

    def commit(self, message: str) -> None:
        """Commit everything."""
        self.git("add", "-A")
        self.git("-c", "user.name=t", "-c", "user.email=t@localhost", "commit", "-qm", message)

    @property
    def environment(self) -> dict[str, str]:
        """This interpreter's environment, with the clone's sources first."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DCPIPE_")}
        search = f"{BIN}:{kept.get('PATH', '')}"
        own = {"PATH": search, "PYTHONPATH": str(self.path / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
        return {**kept, **own, **self.settings}

    def run(self, *command: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command; if `ok`, it must succeed."""
        done = _run(list(command), self.path, self.environment)
        if ok and done.returncode:
            raise AssertionError(f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def git(self, *arguments: str) -> None:
        self.run("git", *arguments)

    def dcpipe(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("dcpipe", *arguments, ok=ok)

    def snakemake(self, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run("snakemake", "--config", f"experiment={EXPERIMENT}", *arguments, ok=ok)

    def dvc(self, verb: str, *arguments: str, ok: bool = True) -> subprocess.CompletedProcess[str]:
        with_deps = [] if verb == "repro" else ["--with-deps"]  # repro takes them along by itself
        return self.run("dvc", verb, *arguments, *with_deps, DVC_FILE, ok=ok)

    def repro(self) -> None:
        """What `make repro EXPERIMENT=tiny` does."""
        self.run("make", "-s", "repro-only", f"EXPERIMENT={EXPERIMENT}", f"BIN={BIN}")

    def dvc_is_clean(self) -> bool:
        return "up to date" in self.dvc("status").stdout

    def snakemake_is_done(self) -> bool:
        return "Nothing to be done" in (done := self.snakemake("-n")).stdout + done.stderr

    def finished(self) -> dict[str, tuple[int, int]]:
        """When each job last finished in this clone, told by its log."""
        logs = [p for p in self.path.glob("logs/*/*.log") if not p.stem.startswith("report")]
        done = [log for log in logs if "done, digest" in log.read_text()]
        return {log.stem: (log.stat().st_mtime_ns, log.stat().st_size) for log in done}

    def ran_since(self, before: dict[str, tuple[int, int]]) -> set[str]:
        """The jobs that have finished since `before`."""
        return {name for name, when in self.finished().items() if when != before.get(name)}

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace a text that stands exactly once in a file."""
        path = self.path / file
        text = path.read_text()
        assert text.count(old) == 1, f"{file} holds {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new))

    def artifacts(self) -> dict[str, str]:
        """The SHA-256 of every artifact file."""
        files = [p for p in (self.path / "artifacts").rglob("*") if p.is_file() and p.name != ".snakemake_timestamp"]
        return {str(p.relative_to(self.path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(files)}

    def lock(self) -> str:
        """The experiment's dvc.lock."""
        return (self.path / DVC_FILE).with_suffix(".lock").read_text()


def _run(command: list[str], cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=900)
