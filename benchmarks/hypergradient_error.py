"""How far cheaper hypergradients are from the exact one, on real experts and on sets that were distilled from them.

    python benchmarks/hypergradient_error.py digits           # where mtt's set 0 at one image per class is made
    python benchmarks/hypergradient_error.py cifar10-small --draws 4

For the sets that MTT kept on its way (the real images it began with, and what became of them) and the segments, batches
and augmentation that a run would draw: the gradient of the images by each kind. Prints one JSON object. A kind's
relative error is |g - exact| / |exact|, its cosine the one between both; `time` is its own over the exact one's,
interleaved.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from dcpipe import device
from dcpipe.data import store
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.episodes import Matching
from dcpipe.distillation.hypergradient.hypergradient_config import Exact, PerStep, Truncated
from dcpipe.distillation.matching.trajectory_config import TrajectoryMatchingConfig
from dcpipe.distillation.setting import Setting
from dcpipe.params import params_files
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

KEPT = ("1/6", "1/3", "1/2", "2/3", "5/6")


def kinds() -> dict[str, Any]:
    """The hypergradients that are compared; the exact one comes first."""
    cut = {f"truncated, {kept} kept": Truncated(kind="truncated", kept=kept, micro_batch=None) for kept in KEPT}
    exact, per_step = Exact(kind="exact", micro_batch=None), PerStep(kind="per_step", micro_batch=None)
    return {"exact": exact, "per_step": per_step, **cut}


def matchings(root: Path, dataset: str, kinds: Mapping[str, Any]) -> tuple[Job, int, dict[str, Matching]]:
    """MTT at one image per class, its inner steps, and its matching by each hypergradient, with the same draws."""
    job = Graph(root).make_job("distill", dataset=dataset, method="mtt", ipc=1, set=0)
    method, inputs = job.section("method", Method), job.inputs
    assert isinstance(method.matching, TrajectoryMatchingConfig)
    device.configure_torch(method.compute.threads)
    whitened_by = artifact.verify_payload(root / job.input("whitening")) if "whitening" in inputs else None
    train = store.load(artifact.verify_payload(root / job.input("train")), "train", torch.device("cpu"), whitened_by)
    stream = Stream.root(method.seed, "benchmark", dataset)
    found: dict[str, Matching] = {}
    for name, kind in kinds.items():
        changed = replace(method, matching=replace(method.matching, hypergradient=kind))
        setting = Setting(
            changed,
            train,
            ipc=1,
            set_index=0,
            stream=stream,
            device=torch.device("cpu"),
            state=ResumeState(root / "state/none"),
            name=job.name,
            network=job.section("network", str),
            trajectories=tuple(artifact.verify_payload(root / path) for path in inputs["trajectories"]),
        )
        found[name] = changed.matching.build(setting)
    return job, method.matching.inner_steps, found


def compare(root: Path, dataset: str, draws: int) -> dict[str, object]:
    """Errors, cosines and times of every kind, by how far the set was distilled."""
    job, inner_steps, by_kind = matchings(root, dataset, kinds())
    found: dict[str, dict[str, dict[str, float]]] = {}
    norms: dict[str, float] = {}
    for iteration, synthetic in synthetic_set.load_snapshots(root / job.outputs["snapshots"]):
        gradients: dict[str, list[torch.Tensor]] = {name: [] for name in by_kind}
        seconds: dict[str, float] = dict.fromkeys(by_kind, 0.0)
        for draw in range(draws):
            for name, matching in by_kind.items():
                episode = matching.draw_episode(draw, len(synthetic.images_NCHW))
                started = time.perf_counter()
                gradients[name].append(episode.evaluate(synthetic).gradients.images.flatten())
                seconds[name] += time.perf_counter() - started
        key = f"after {iteration} iterations"
        norms[key] = round(statistics.fmean(float(g.norm()) for g in gradients["exact"]), 6)
        found[key] = {
            name: {**against(values, gradients["exact"]), "time": round(seconds[name] / seconds["exact"], 2)}
            for name, values in gradients.items()
            if name != "exact"
        }
    return {
        "dataset": dataset,
        "inner_steps": inner_steps,
        "draws": draws,
        "norm of the exact gradient": norms,
        "kinds": found,
    }


def against(found: Sequence[torch.Tensor], exact: Sequence[torch.Tensor]) -> dict[str, float]:
    """Mean relative error and mean cosine over draws."""
    errors = [float((a - b).norm() / b.norm()) for a, b in zip(found, exact, strict=True)]
    cosines = [float(torch.cosine_similarity(a, b, dim=0)) for a, b in zip(found, exact, strict=True)]
    return {"relative_error": round(statistics.fmean(errors), 3), "cosine": round(statistics.fmean(cosines), 3)}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "dataset", choices=params_files.available_names(Path(__file__).parents[1], "datasets"), metavar="DATASET"
    )
    parser.add_argument("--draws", type=int, default=12)
    parser.add_argument("--root", type=Path, default=Path())
    given = parser.parse_args()
    print(json.dumps({**compare(given.root, given.dataset, given.draws), "machine": platform.machine()}, indent=1))


if __name__ == "__main__":
    main()
