"""`dcpipe paths`: an expert, its convex path and students on the finished set, in the plane of principal components.

The components are those of the expert's recorded checkpoints (of its convex path where the recorded ones are gone);
everything else is projected into their plane. Students are those of the distillation's last iterations that imitate the
expert: the same starts, batches and augmentation, on the finished set, a point after every inner step.

Source: MCT (arXiv:2406.19827), figure 1. Legend: N points of a path, P parameters.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from dcpipe.data import augment
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.made_setting import setting_from_artifacts
from dcpipe.distillation.matching.trajectory_config import TrajectoryMatchingConfig
from dcpipe.distillation.matching.trajectory_matching import TrajectoryEpisode, TrajectoryMatching
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.student import inner_gradient
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.distillation.teachers import Teachers
from dcpipe.errors import UserError
from dcpipe.experts.principal_plane import PrincipalComponents, principal_components
from dcpipe.models.flat import FlatModel
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.report import planes
from dcpipe.report.figures import file_name
from dcpipe.report.planes import COLOUR, STUDENTS, NetworkPath
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job


@dataclass(frozen=True, slots=True)
class PathsFigure:
    """The files by name, and what to say of them."""

    files: dict[str, bytes]
    lines: list[str]


def draw_paths(graph: Graph, job: Job, root: Path, *, expert: int, students: int) -> PathsFigure:
    """The figure of a distill job's set, and its points as CSV.

    Raises: UserError if the method matches no trajectories, if there is no such expert, or if an artifact is missing;
    CorruptArtifactError naming one whose bytes differ from its card.
    """
    config = job.section("method", Method).matching
    if not isinstance(config, TrajectoryMatchingConfig):
        problem = f"{job.wildcards['method']} matches no trajectories: there are no paths to draw"
        raise UserError(problem, where="paths", remedy="name a method of trajectory matching, such as mtt or mct")
    synthetic = synthetic_set.load(artifact.verify_payload(root / job.outputs["synthetic"]))
    setting = setting_from_artifacts(job, root)
    experts = Teachers.from_setting(setting).path.num_experts
    if expert >= experts:
        remedy = f"name an expert from 0 to {experts - 1}"
        raise UserError(f"there is no expert {expert}", where="--expert", remedy=remedy)
    found = [*expert_trajectories(graph, job, root, expert)]
    found += student_trajectories(setting, TrajectoryMatching(config, setting), synthetic, expert, students)
    components = principal_components(found[0].points_NP)
    wildcards = job.wildcards
    name = file_name(
        *("paths", wildcards["dataset"], wildcards["method"], f"ipc{wildcards['ipc']}"),
        *(f"set{wildcards['set']}", f"expert{expert}"),
    )
    title = f"expert {expert} of {wildcards['dataset']}, and {wildcards['method']}"
    chart = planes.paths_chart(name, title, found, components, [COLOUR[path.kind] for path in found])
    files = {**chart.files, f"{name}.csv": _csv(found, components).encode()}
    return PathsFigure(files, _variance_lines(found, components))


def expert_trajectories(graph: Graph, job: Job, root: Path, expert: int) -> Iterator[NetworkPath]:
    """The recorded path, where it is here, and the convex one, where the method matches one."""
    read = [graph.job_that_makes(path) for path in job.inputs["trajectories"]]
    convex = [root / one.outputs["path"] for one in read if "path" in one.outputs]
    recorded = [graph.job_that_makes(one.input("trajectory")) if convex else one for one in read]
    stores = [root / one.outputs["trajectory"] for one in recorded]
    if not convex or all(store.exists() for store in stores):
        yield planes.recorded_trajectory([artifact.verify_payload(store) for store in stores], expert)
    if convex:
        yield planes.convex_trajectory([artifact.verify_payload(store) for store in convex], expert)


def student_trajectories(
    setting: Setting, matching: TrajectoryMatching, synthetic: SyntheticSet, expert: int, count: int
) -> Iterator[NetworkPath]:
    """Students of the last iterations that imitate the expert, latest first, on the set; each from another time."""
    outer, model = setting.method.outer, setting.model()
    last, starts = outer.iterations if outer else 0, set[float]()
    for iteration in range(last - 1, -1, -1):
        episode = matching.draw_episode(iteration, len(synthetic.images_NCHW))
        if len(starts) < count and episode.segment.expert == expert and episode.segment.start not in starts:
            starts.add(episode.segment.start)
            points = torch.stack([*student_trajectory(model, episode, synthetic)])
            segment = episode.segment
            span, steps = segment.target - segment.start, len(points) - 1
            times = [segment.start + span * step / steps for step in range(steps + 1)]
            yield NetworkPath(STUDENTS, STUDENTS, points, times, (0, steps))


def student_trajectory(model: FlatModel, episode: TrajectoryEpisode, synthetic: SyntheticSet) -> Iterator[Tensor]:
    """An episode's student on the set: its parameters (P) at the start and after every inner step."""
    theta_P = episode.student_start_P
    yield theta_P
    rate = synthetic.step_size.to(theta_P.dtype)
    for rows, draw in zip(episode.draws.batches, episode.draws.augmentations, strict=True):
        images_BCHW = synthetic.images_NCHW[rows]
        seen_BCHW = images_BCHW if draw is None else augment.apply(images_BCHW, draw)
        theta_P = theta_P - rate * inner_gradient(model, theta_P, seen_BCHW, synthetic.labels[rows])
        yield theta_P


def _csv(paths: Sequence[NetworkPath], components: PrincipalComponents) -> str:
    """A row a point: which path, its number among those of its name, the time in epochs, the two coordinates."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("path", "number", "epoch", "first", "second"))
    for number, path in enumerate(paths):
        before = sum(other.name == path.name for other in paths[:number])
        for time, (first, second) in zip(path.times, planes.plane_coordinates(path, components), strict=True):
            writer.writerow((path.name, before, time, first, second))
    return text.getvalue()


def _variance_lines(paths: Sequence[NetworkPath], components: PrincipalComponents) -> list[str]:
    first, second = components.explained_in_plane
    held = (
        f"the plane holds {100 * (first + second):.1f} % of their variance ({100 * first:.1f} and {100 * second:.1f})"
    )
    lines = [f"{len(paths[0].points_NP)} points of the {paths[0].name} path: {held}"]
    lines += [
        f"{path.name} path: {100 * components.share_in_plane(path.points_NP):.1f} % of its variance is in this plane"
        for path in paths[1:]
        if path.name != STUDENTS
    ]
    for path in paths:
        if path.name == STUDENTS:
            share = 100 * components.share_in_plane(path.points_NP)
            lines.append(
                f"student from epoch {path.times[0]:.2f} to {path.times[-1]:.2f}, {len(path.times) - 1} steps: "
                f"{share:.1f} % in this plane"
            )
    return lines
