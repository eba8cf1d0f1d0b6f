"""How far students go astray that are never put back on their expert's path (FTD, arXiv:2211.11004, equations 6 to 8).

    python benchmarks/accumulated_error.py digits mtt ftd mct        # sets 0 at one image per class, made before

A student is trained on each method's finished set along its method's own experts, a segment after the other, with the
steps, batches and augmentation of its method. Prints one JSON object, by method and by the epoch where a segment ends:
norms of the accumulated, the matching and the initialisation error, in units of how far the expert has come since epoch
0; means over the experts. `--figure FILE.svg` draws the first two.
"""

import argparse
import json
import statistics
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from dcpipe.distillation import synthetic_set
from dcpipe.distillation.made_setting import setting_from_artifacts
from dcpipe.distillation.matching_results import StudentStart
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers
from dcpipe.distillation.trajectory_errors import segment_errors
from dcpipe.params import params_files
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.random import Stream
from dcpipe.report import charts
from dcpipe.report.charts import Line
from dcpipe.workflow.graph import Graph

KINDS = ("accumulated", "matching", "initialisation")
Errors = dict[int, dict[str, float]]


def along_expert(made_of: Setting, synthetic: SyntheticSet, expert: int, epochs: list[int]) -> Iterator[list[float]]:
    """The three norms at the end of each segment, in units of the expert's way since epoch 0."""
    path, matching = Teachers.from_setting(made_of).path, made_of.method.matching.build(made_of)
    checkpoints = [path.at(expert, epoch) for epoch in epochs]

    def train(theta_P: Tensor, segment: int) -> Tensor:
        student = matching.draw_episode(segment, len(synthetic.images_NCHW)).as_student_episode
        assert student is not None
        return student.evaluate(synthetic, StudentStart(0, theta_P)).trace.final

    for end, one in enumerate(segment_errors(train, checkpoints), start=1):
        way = float((checkpoints[end] - checkpoints[0]).norm())
        yield [float(part.norm()) / way for part in (one.accumulated_P, one.matching_P, one.initialisation_P)]


def measure(root: Path, dataset: str, methods: list[str], last: int, span: int) -> dict[str, Errors]:
    """By method and epoch, the mean norms over all experts."""
    found: dict[str, Errors] = {}
    for method in methods:
        job = Graph(root).make_job("distill", dataset=dataset, method=method, ipc=1, set=0)
        stream = Stream.root(job.section("method", Method).seed, "benchmark", "accumulated-error")
        made_of = setting_from_artifacts(job, root, stream)
        synthetic = synthetic_set.load(artifact.verify_payload(root / job.outputs["synthetic"]))
        epochs = list(range(0, last + 1, span))
        experts = range(Teachers.from_setting(made_of).path.num_experts)
        by_expert = [list(along_expert(made_of, synthetic, expert, epochs)) for expert in experts]
        found[method] = {
            epoch: {
                kind: float(f"{statistics.fmean(rows[index][place] for rows in by_expert):.4g}")
                for place, kind in enumerate(KINDS)
            }
            for index, epoch in enumerate(epochs[1:])
        }
    return found


def draw(found: dict[str, Errors], file: Path) -> None:
    """Accumulated errors as lines; the matching errors of the same segments beside them."""
    lines = [
        Line(f"{method}, {kind}", [(float(epoch), errors[kind]) for epoch, errors in found[method].items()], colour)
        for colour, (method, kind) in enumerate((one, kind) for one in found for kind in KINDS[:2])
    ]
    chart = charts.line_chart(
        file.stem, "Error of students, in units of the expert's way", lines, x_label="epoch", y_label="error"
    )
    file.write_bytes(chart.files[f"{file.stem}.svg"])


def main() -> None:
    """Print the measurement."""
    parser = argparse.ArgumentParser()
    names = {kind: params_files.available_names(Path(__file__).parents[1], kind) for kind in ("datasets", "methods")}
    parser.add_argument("dataset", choices=names["datasets"], metavar="DATASET")
    parser.add_argument("methods", nargs="+", choices=names["methods"], metavar="METHOD")
    parser.add_argument("--last", type=int, default=6, help="the epoch to go to, of those that experts keep")
    parser.add_argument("--span", type=int, default=2, help="epochs of a segment, as in the methods' presets")
    parser.add_argument("--figure", type=Path, help="draw it there, as SVG")
    parser.add_argument("--root", type=Path, default=Path())
    given = parser.parse_args()
    found = measure(given.root, given.dataset, given.methods, given.last, given.span)
    if given.figure:
        draw(found, given.figure)
    facts = {"dataset": given.dataset, "ipc": 1, "set": 0, "span_epochs": given.span}
    print(json.dumps({**facts, "methods": found}, indent=1))


if __name__ == "__main__":
    main()
