"""The only loop: draw an episode, get gradients, update, note, now and then save. It knows no method's name.

An iteration is one episode, of one image update or of several; a stopped or killed run begins the episode again that
it was in. It comes to the same bits, because every draw is named after the iteration and not after what ran before.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from dcpipe.distillation import finite_check
from dcpipe.distillation.averaging.averages import Average
from dcpipe.distillation.distillation_result import DistillationResult
from dcpipe.distillation.dynamics.measures import Dynamics
from dcpipe.distillation.episodes import Episode, Matching
from dcpipe.distillation.labels.label_rules import LabelRule
from dcpipe.distillation.matching_results import Gradients
from dcpipe.distillation.optimisers.outer_optimiser import OuterOptimiser
from dcpipe.distillation.setting import Setting
from dcpipe.distillation.sharpness.passes import SharpnessResult, SharpnessRule
from dcpipe.distillation.step_size.step_size_rules import StepSizeRule
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import NonFiniteError, UserError
from dcpipe.loggers.run_logger import log_scalars
from dcpipe.params.method import OuterLoop
from dcpipe.progress import track
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.provenance.json_value import JsonValue
from dcpipe.random import Stream
from dcpipe.workflow.stopping import stop, stop_requested

Row = dict[str, int | float]


@dataclass(slots=True)
class DistillationProgress:
    """Where a run stands: the next iteration, the set, the optimisers, snapshots and history so far."""

    iteration: int
    synthetic: SyntheticSet
    average_NCHW: Tensor  # of the images so far; the newest ones where the method does not average
    optimiser: OuterOptimiser
    snapshots: list[tuple[int, SyntheticSet]] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    carried_state: Tensor | None = None  # what the outer sharpness carries from one iteration to the next, if anything

    def make_output_set(self, outer: OuterLoop) -> SyntheticSet:
        """The set that would be handed over now."""
        unaveraged_NCHW = self.synthetic.images_NCHW if outer.averaging.keeps_unaveraged else None
        return replace(self.synthetic, images_NCHW=self.average_NCHW, unaveraged_NCHW=unaveraged_NCHW)


@dataclass(frozen=True, slots=True)
class MethodComponents:
    """What a method's composition comes to: what the loop asks, and no more."""

    outer: OuterLoop
    matching: Matching
    labels: LabelRule
    sharpness: SharpnessRule
    step_size: StepSizeRule
    average: Average
    dynamics: Dynamics
    stream: Stream

    @classmethod
    def from_setting(cls, setting: Setting) -> "MethodComponents":
        """The parts of a job. Raises: UserError where the method has no outer loop."""
        method = setting.method
        outer = method.outer
        if outer is None:
            raise UserError(
                "is none, so there is no outer loop to run",
                where=f"{setting.name}: matching.kind",
                remedy="choose another kind in the method's preset, and state outer",
            )
        labels = outer.labels.build(setting)
        return cls(
            outer,
            method.matching.build(setting),
            labels,
            outer.sharpness.build(),
            outer.step_size.build(),
            outer.averaging.build(outer.iterations),
            outer.dynamics.build(setting, labels),
            setting.stream,
        )


def run(setting: Setting) -> DistillationResult:
    """Distil; continues from the job's state if there is one.

    Raises: NonFiniteError before a ruinous update, leaving the state before it.
    """
    components, state = MethodComponents.from_setting(setting), setting.state
    outer = components.outer
    progress = _restore(state, outer, setting.device) or _start(setting, components)
    todo = range(progress.iteration, outer.iterations)
    for iteration in track(todo, setting.name, already=progress.iteration):
        known = len(progress.history)
        try:
            _iterate(progress, components)
        except NonFiniteError:
            _save(state, progress)
            raise
        for row in progress.history[known:]:
            log_scalars(iteration, row)
        asked = stop_requested()  # once: a signal that comes between saving and leaving waits for the next turn
        if asked or state.is_due():
            _save(state, progress)
        if asked:
            stop()
    next_episode = components.matching.draw_episode(outer.iterations, len(progress.synthetic.images_NCHW))
    finished = components.labels.with_labels(
        progress.make_output_set(outer), next_episode
    )  # as the snapshot of a longer run would have it
    progress.snapshots.append((outer.iterations, finished))
    return DistillationResult(finished, progress.snapshots, progress.history)


def _start(setting: Setting, components: MethodComponents) -> DistillationProgress:
    outer = components.outer
    images, classes = outer.images.initial.build()(setting, setting.stream.child("initial"))
    step_size = torch.tensor(outer.step_size.initial, dtype=torch.float64, device=setting.device)
    synthetic = SyntheticSet(images, components.labels.initial(images, classes), step_size)
    return DistillationProgress(0, synthetic, images, OuterOptimiser.from_config(outer))


def _iterate(progress: DistillationProgress, components: MethodComponents) -> None:
    """One episode. Nothing of `progress` has changed if it raises, or is left because a stop was asked for."""
    iteration, stream, outer = (
        progress.iteration,
        components.stream.child("iteration", progress.iteration),
        components.outer,
    )
    now = replace(progress, optimiser=progress.optimiser.copy())
    rows: list[Row] = []
    measured = components.dynamics(iteration, now.synthetic)
    first = components.matching.draw_episode(iteration, len(now.synthetic.images_NCHW))
    episode: Episode | None = first
    while episode is not None:
        if rows and stop_requested():
            return
        now.synthetic = components.labels.with_labels(now.synthetic, episode)
        own = stream.child("update", len(rows)) if rows else stream
        result = components.sharpness(now.synthetic, episode, carried_state=now.carried_state, stream=own)
        gradients = components.step_size(result.gradients, result.trace, now.synthetic.step_size)
        finite_check.refuse_non_finite(
            iteration,
            matching_loss=result.loss,
            image_gradient=gradients.images,
            step_size_gradient=gradients.step_size,
            label_gradient=gradients.labels,
        )
        rows.append(_row(now, episode, gradients, result, outer.loss_threshold))
        if len(rows) == 1:
            rows[0].update(measured)
        if not rows[-1].get("left_out"):
            now.synthetic = now.optimiser.update(iteration, now.synthetic, gradients)
        now.carried_state, episode = result.carried_state, episode.next_episode(now.synthetic)
    if iteration % outer.snapshot_every == 0:
        progress.snapshots.append((iteration, components.labels.with_labels(progress.make_output_set(outer), first)))
    progress.history += rows
    progress.synthetic, progress.optimiser, progress.carried_state = now.synthetic, now.optimiser, now.carried_state
    if not rows[-1].get("left_out"):
        progress.average_NCHW = components.average(progress.average_NCHW, progress.synthetic.images_NCHW)
    progress.iteration += 1


def _row(
    progress: DistillationProgress,
    episode: Episode,
    gradients: Gradients,
    result: SharpnessResult,
    loss_threshold: float | None,
) -> Row:
    by_step_size = gradients.step_size
    row = {
        "iteration": progress.iteration,
        **episode.facts,
        "loss": float(result.loss),
        "step_size": float(progress.synthetic.step_size),
        "image_gradient_norm": float(gradients.images.norm()),
        "step_size_gradient": 0.0 if by_step_size is None else float(by_step_size),
        **result.facts,
    }
    if gradients.labels is not None:
        row["label_gradient_norm"] = float(gradients.labels.norm())
    if loss_threshold is not None:
        row["left_out"] = int(row["loss"] > loss_threshold)
    return row


def _save(state: ResumeState, progress: DistillationProgress) -> None:
    tensors = _prefixed_tensors("current", progress.synthetic) | progress.optimiser.state_dict()
    if progress.average_NCHW is not progress.synthetic.images_NCHW:
        tensors["average"] = progress.average_NCHW
    if progress.carried_state is not None:
        tensors["memory"] = progress.carried_state
    for index, (_, synthetic) in enumerate(progress.snapshots):
        tensors |= _prefixed_tensors(f"snapshot{index}", synthetic)
    meta = {
        "iteration": progress.iteration,
        "snapshots": [iteration for iteration, _ in progress.snapshots],
        "history": progress.history,
    }
    state.save("distill", tensors, meta)


def _prefixed_tensors(prefix: str, synthetic: SyntheticSet) -> dict[str, Tensor]:
    return {
        f"{prefix}.images": synthetic.images_NCHW,
        f"{prefix}.labels": synthetic.labels,
        f"{prefix}.step_size": synthetic.step_size,
    }


def _restore(state: ResumeState, outer: OuterLoop, device: torch.device) -> DistillationProgress | None:
    saved = state.load("distill")
    if saved is None:
        return None
    tensors, meta = saved[0], JsonValue(saved[1], str(state.path("distill")))

    def read_set(prefix: str) -> SyntheticSet:
        parts = (tensors[f"{prefix}.{part}"] for part in ("images", "labels", "step_size"))
        return SyntheticSet(*parts).to(device)

    optimiser = OuterOptimiser.from_config(outer)
    optimiser.load_state_dict(tensors, device)
    snapshots = [
        (iteration, read_set(f"snapshot{index}")) for index, iteration in enumerate(meta["snapshots"].integers())
    ]
    current, carried_state = read_set("current"), tensors.get("memory")
    average = tensors["average"].to(device) if "average" in tensors else current.images_NCHW
    carried_state = None if carried_state is None else carried_state.to(device)
    iteration, history = meta["iteration"].integer(), [_parse_row(row) for row in meta["history"].elements()]
    return DistillationProgress(iteration, current, average, optimiser, snapshots, history, carried_state)


def _parse_row(saved: JsonValue) -> Row:
    """A row of the history as it was saved: whole numbers stay whole, as the CSV writes them."""
    return {column: value.int_or_float() for column, value in saved.fields().items()}
