"""dcpipe commands, each in a process of its own that a signal ends at a chosen moment.

    python interrupted.py '[["ROOT", "KILL", 4, ["distill", "tiny", "mtt", "--ipc", "1"]]]'

The moment is the n-th time a stage asks whether its state is due. KILL: the state was saved each time before, and
the process dies at once. TERM: nothing else is ever saved, so what is saved is what the signal asked for.
Prints the return codes. Processes are forked, so that all share one import of the libraries.
"""

import json
import os
import signal
import sys
from importlib import import_module
from itertools import count
from pathlib import Path

from dcpipe import cli, device
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.workflow.stages import STAGES


def run(root: str, how: str, at: int, command: list[str]) -> None:
    """One command, in this process."""
    asked = count(1)

    def due(self: ResumeState) -> bool:
        if next(asked) == at:
            os.kill(os.getpid(), getattr(signal, f"SIG{how}"))
        return how == "KILL"

    ResumeState.is_due = due
    os.chdir(root)
    with Path("interrupted.log").open("w") as log:
        os.dup2(log.fileno(), 2)
        sys.argv = ["dcpipe", *command]
        cli.main()


def main() -> None:
    implementations = [stage.implementation for stage in STAGES.values()]
    for module in (*implementations, "dcpipe.workflow.graph", "dcpipe.distillation.matching.trajectory_matching"):
        import_module(module)
    device.configure_torch(1)
    codes = []
    for root, how, at, command in json.loads(sys.argv[1]):
        process = os.fork()
        if process == 0:
            run(root, how, at, command)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]))
    sys.stdout.write(json.dumps(codes))


if __name__ == "__main__":
    main()
