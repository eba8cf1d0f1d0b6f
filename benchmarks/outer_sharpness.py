"""How sharp the matching loss is at what each method made, along its way.

    python benchmarks/outer_sharpness.py digits mtt satm mtt-sam        # sets 0 at one image per class, made before

At every snapshot of each set, for the same segments, batches and augmentation: MTT's loss L(S), the norm of its exact
gradient h of the images, and the sharpness L(S + radius h / |h|) - L(S), which SATM's outer loop descends.
Prints one JSON object; the numbers are means over the draws.
"""

import argparse
import json
import statistics
from dataclasses import replace
from pathlib import Path

from dcpipe.distillation import synthetic_set
from dcpipe.distillation.hypergradient.hypergradient_config import Exact
from dcpipe.distillation.sharpness.passes import ascent
from dcpipe.params import params_files
from dcpipe.workflow.graph import Graph
from hypergradient_error import matchings


def measure(root: Path, dataset: str, methods: list[str], radius: float, draws: int) -> dict[str, object]:
    """Loss, norm and sharpness by method and iteration."""
    _, inner_steps, found = matchings(root, dataset, {"exact": Exact(kind="exact", micro_batch=None)})
    matching = found["exact"]
    rows: dict[str, dict[str, dict[str, float]]] = {}
    for method in methods:
        made = Graph(root).make_job("distill", dataset=dataset, method=method, ipc=1, set=0)
        for iteration, synthetic in synthetic_set.load_snapshots(root / made.outputs["snapshots"]):
            seen: dict[str, list[float]] = {"loss": [], "norm": [], "sharpness": []}
            for draw in range(draws):
                episode = matching.draw_episode(draw, len(synthetic.images_NCHW))
                answer = episode.evaluate(synthetic)
                gradient = answer.gradients.images
                climbed = synthetic.images_NCHW + ascent(synthetic.images_NCHW, gradient, radius)
                theirs = episode.evaluate(replace(synthetic, images_NCHW=climbed))
                seen["loss"].append(float(answer.loss))
                seen["norm"].append(float(gradient.norm()))
                seen["sharpness"].append(float(theirs.loss - answer.loss))
            means = {name: float(f"{statistics.fmean(values):.4g}") for name, values in seen.items()}
            rows.setdefault(method, {})[f"after {iteration} iterations"] = means
    return {"dataset": dataset, "inner_steps": inner_steps, "radius": radius, "draws": draws, "methods": rows}


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "dataset", choices=params_files.available_names(Path(__file__).parents[1], "datasets"), metavar="DATASET"
    )
    parser.add_argument(
        "methods",
        nargs="+",
        choices=params_files.available_names(Path(__file__).parents[1], "methods"),
        metavar="METHOD",
    )
    parser.add_argument("--radius", type=float, default=0.1)
    parser.add_argument("--draws", type=int, default=24)
    parser.add_argument("--root", type=Path, default=Path())
    given = parser.parse_args()
    print(json.dumps(measure(given.root, given.dataset, given.methods, given.radius, given.draws), indent=1))


if __name__ == "__main__":
    main()
