"""Which modules of the package each stage of the tiny experiment loads, each in a process of its own.

    python loaded_modules.py ROOT     prints JSON: job -> modules

The processes are forked before anything of the package is imported, so that they share the libraries' import only.
"""

import json
import os
import sys
from pathlib import Path

import sklearn.datasets
import torch
import zarr

CELL = {"dataset": "tiny", "method": "mtt", "ipc": 1, "set": 0}
JOBS = {
    "data": ("data", {"dataset": "tiny"}),
    "experts": ("experts", {"dataset": "tiny", "experts": "plain", "shard": 0}),
    "random": ("distill", {**CELL, "method": "random"}),
    "mtt": ("distill", CELL),
    "dsa": ("distill", {**CELL, "method": "dsa"}),
    "dm": ("distill", {**CELL, "method": "dm"}),
    "cafe": ("distill", {**CELL, "method": "cafe"}),
    "evaluate": ("evaluate", {**CELL, "evaluation": "digits", "network": "native"}),
    "val-best": ("evaluate", {**CELL, "evaluation": "digits-val-best", "network": "native"}),
    "metrics": ("metrics", {"experiment": "tiny"}),
}


def loaded(root: Path, name: str) -> dict[str, list[str]]:
    """Run one job. The package's modules that are then loaded, and those of them that were run or loaded for it.

    Planning loads modules too, which the job runs only if one of their functions is called.
    """
    from dcpipe.workflow.execution import execute_job
    from dcpipe.workflow.graph import Graph

    stage, words = JOBS[name]
    job = Graph(root).make_job(stage, **words)
    planned, run = set(sys.modules), set[str]()
    sys.setprofile(lambda frame, _event, _what: run.add(frame.f_globals.get("__name__", "")))
    execute_job(job, root, folder=root / "beside" / name)
    sys.setprofile(None)
    found = {"loaded": set(sys.modules), "run": run | (set(sys.modules) - planned)}
    return {key: sorted(name for name in names if name.split(".")[0] == "dcpipe") for key, names in found.items()}


def main() -> None:
    torch.use_deterministic_algorithms(True)  # loads what every stage would load again
    assert zarr.__version__
    assert sklearn.datasets
    found = {}
    for name in JOBS:
        read, write = os.pipe()
        if os.fork() == 0:
            with os.fdopen(write, "w") as pipe:
                json.dump(loaded(Path(sys.argv[1]), name), pipe)
            os._exit(0)
        os.close(write)
        with os.fdopen(read) as pipe:
            found[name] = json.loads(pipe.read() or "[]")
        os.wait()
    sys.stdout.write(json.dumps(found))


if __name__ == "__main__":
    main()
