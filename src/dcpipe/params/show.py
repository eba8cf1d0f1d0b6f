"""`dcpipe params show`: every resolved value of an experiment, where it stands and what it is taken from."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcpipe.params.resolve import Resolved

if TYPE_CHECKING:
    from dcpipe.workflow.graph import Graph


def lines(graph: "Graph", experiment: str) -> Iterator[str]:
    """One block a section as it is resolved for the experiment, one line a value."""
    library = graph.library
    yield from _block(f"experiment {experiment}", library.experiment(experiment)[0])
    jobs = graph.jobs(experiment)
    seen: set[str] = set()
    for job in jobs:
        wildcards = job.wildcards
        dataset, ipc = wildcards.get("dataset", ""), int(wildcards.get("ipc", 0))
        if job.stage == "data":
            title, resolved = f"dataset {dataset}", library.dataset(dataset)[0]
        elif job.stage == "experts":
            title = f"experts {wildcards['experts']} for {dataset}"
            resolved = library.experts(wildcards["experts"], dataset)[0]
        elif job.stage == "distill":
            title = f"method {wildcards['method']} for {dataset} at ipc {ipc}"
            resolved = library.method(wildcards["method"], dataset, ipc)[0]
        elif job.stage == "evaluate":
            title = f"evaluation {wildcards['evaluation']} for {dataset} at ipc {ipc}"
            resolved = library.evaluation(wildcards["evaluation"], dataset, ipc)[0]
        else:
            continue
        if title not in seen:
            seen.add(title)
            yield ""
            yield from _block(title, resolved)


def _block(title: str, resolved: Resolved) -> Iterator[str]:
    yield title
    width = max(len(key) for key in resolved.leaves)
    for key, leaf in resolved.leaves.items():
        source = f"  ({leaf.source})" if leaf.source else ""
        place = str(leaf.origin).removesuffix(f": {key}")
        yield f"  {key.ljust(width)}  {json.dumps(leaf.value)}  <- {place}{source}"
