"""`dcpipe params show`: every resolved value of an experiment, where it stands and what it is taken from."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dcpipe.params.described import knob_descriptions
from dcpipe.params.resolve import ResolvedSection

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from dcpipe.workflow.graph import Graph


def param_lines(graph: "Graph", experiment: str, *, describe: bool = False) -> Iterator[str]:
    """One block a section as it is resolved for the experiment, one line per value, below it what the knob is."""
    library = graph.library
    yield from _block(f"experiment {experiment}", *library.experiment(experiment), describe)
    jobs = graph.experiment_jobs(experiment)
    seen: set[str] = set()
    for job in jobs:
        wildcards = job.wildcards
        dataset, ipc = wildcards.get("dataset", ""), int(wildcards.get("ipc", 0))
        if job.stage == "data":
            title = f"dataset {dataset}"
            section: tuple[ResolvedSection, DataclassInstance] = library.dataset(dataset)
        elif job.stage == "experts":
            title = f"experts {wildcards['experts']} for {dataset}"
            section = library.experts(wildcards["experts"], dataset)
        elif job.stage == "distill":
            title = f"method {wildcards['method']} for {dataset} at ipc {ipc}"
            section = library.method(wildcards["method"], dataset, ipc)
        elif job.stage == "evaluate":
            title = f"evaluation {wildcards['evaluation']} for {dataset} at ipc {ipc}"
            section = library.evaluation(wildcards["evaluation"], dataset, ipc)
        else:
            continue
        if title not in seen:
            seen.add(title)
            yield ""
            yield from _block(title, *section, describe)


def _block(title: str, resolved: ResolvedSection, config: "DataclassInstance", describe: bool) -> Iterator[str]:
    yield title
    described = knob_descriptions(config) if describe else {}
    width = max(len(key) for key in resolved.leaves)
    for key, leaf in resolved.leaves.items():
        source = f"  ({leaf.source})" if leaf.source else ""
        place = str(leaf.origin).removesuffix(f": {key}")
        yield f"  {key.ljust(width)}  {json.dumps(leaf.value)}  <- {place}{source}"
        if key in described:
            yield f"  {' ' * width}  # {described[key]}"
