"""The only loop: draw an episode, get gradients, update, note, now and then save. It knows no method's name.

An iteration is one episode, of one image update or of several; a stopped or killed run begins the episode again that
it was in. It comes to the same bits, because every draw is named after the iteration and not after what ran before.
"""

from dataclasses import dataclass, field, replace
from typing import cast

import torch
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.distillation import composition, guard, step_size
from dcpipe.distillation.hypergradient.common import Gradients
from dcpipe.distillation.labels.common import Labels
from dcpipe.distillation.matching.common import Episode, Matching, Setting
from dcpipe.distillation.outer import OuterOptimiser
from dcpipe.distillation.result import Result
from dcpipe.distillation.sharpness.common import Found, Kind
from dcpipe.distillation.synthetic_set import SyntheticSet, noise_images, real_images
from dcpipe.errors import NonFiniteError
from dcpipe.params.method import Method
from dcpipe.params.outer import Ema, Outer
from dcpipe.params.sharpness import Sharpness
from dcpipe.progress import track
from dcpipe.provenance.checkpoint import State
from dcpipe.random import Stream
from dcpipe.workflow.task import Task, stop, stop_asked

Row = dict[str, int | float]


@dataclass(slots=True)
class Progress:
    """Where a run stands: the next iteration, the set, the optimisers, snapshots and history so far."""

    iteration: int
    synthetic: SyntheticSet
    optimiser: OuterOptimiser
    snapshots: list[tuple[int, SyntheticSet]] = field(default_factory=list)
    history: list[Row] = field(default_factory=list)
    average_NCHW: Tensor | None = None  # the running mean of the images, where the method averages
    memory: Tensor | None = None  # what the outer sharpness carries from one iteration to the next, if anything

    def result(self) -> SyntheticSet:
        """The set that would be handed over now: averaged images where the method averages."""
        if self.average_NCHW is None:
            return self.synthetic
        return SyntheticSet(self.average_NCHW, self.synthetic.labels, self.synthetic.step_size)


def run(task: Task, method: Method, train: Images, stream: Stream, device: torch.device) -> Result:
    """Distil; continues from the job's state if there is one.

    Raises: NonFiniteError before a ruinous update, leaving the state before it.
    """
    outer = method.outer
    assert outer is not None  # noqa: S101 (a matching method has one)
    ipc = int(task.job.wildcards["ipc"])
    setting = Setting(task, method, train, stream, device)
    matching: Matching = composition.load(composition.MATCHINGS[method.matching.kind]).make(setting)
    labels: Labels = composition.load(composition.LABELS[outer.labels.kind]).make(setting)
    progress = _restore(task.state, outer, device) or _start(setting, outer, labels, ipc)
    todo = range(progress.iteration, outer.iterations)
    for _ in track(todo, task.job.name, already=progress.iteration):
        try:
            _iterate(progress, matching, labels, outer, stream)
        except NonFiniteError:
            _save(task.state, progress)
            raise
        asked = stop_asked()  # once: a signal that comes between saving and leaving waits for the next turn
        if asked or task.state.due():
            _save(task.state, progress)
        if asked:
            stop()
    next_episode = matching.draw(outer.iterations, len(progress.synthetic.images_NCHW))
    finished = labels.of(progress.result(), next_episode)  # as the snapshot of a longer run would have it
    progress.snapshots.append((outer.iterations, finished))
    return Result(finished, progress.snapshots, progress.history)


def _start(setting: Setting, outer: Outer, labels: Labels, ipc: int) -> Progress:
    images, classes = _initial_images(setting, outer.images.initial, ipc)
    step_size = torch.tensor(outer.step_size.initial, dtype=torch.float64, device=setting.device)
    average = images if isinstance(outer.averaging, Ema) else None
    synthetic = SyntheticSet(images, labels.initial(images, classes), step_size)
    return Progress(0, synthetic, OuterOptimiser.of(outer), average_NCHW=average)


def _initial_images(setting: Setting, initial: str, ipc: int) -> tuple[Tensor, Tensor]:
    stream = setting.stream.child("initial")
    if initial == "correct":
        module = composition.load(composition.INITIAL_IMAGES[initial][0])
        return cast("tuple[Tensor, Tensor]", module.correct_images(setting, ipc, stream))
    make = real_images if initial == "real" else noise_images
    return make(setting.train, ipc, stream)


def _iterate(progress: Progress, matching: Matching, labels: Labels, outer: Outer, stream: Stream) -> None:
    """One episode. Nothing of `progress` has changed if it raises, or is left because a stop was asked for."""
    iteration, stream = progress.iteration, stream.child("iteration", progress.iteration)
    now = replace(progress, optimiser=replace(progress.optimiser))
    rows: list[Row] = []
    first = matching.draw(iteration, len(now.synthetic.images_NCHW))
    episode: Episode | None = first
    while episode is not None:
        if rows and stop_asked():
            return
        now.synthetic = labels.of(now.synthetic, episode)
        found = _evaluate(
            now, matching, episode, outer.sharpness, stream.child("update", len(rows)) if rows else stream
        )
        gradients = step_size.ruled(outer.step_size, found.gradients, found.trace, now.synthetic.step_size)
        guard.refuse_non_finite(
            iteration,
            matching_loss=found.trace.loss,
            image_gradient=gradients.images,
            step_size_gradient=gradients.step_size,
            label_gradient=gradients.labels,
        )
        rows.append(_row(now, episode, gradients, found, outer.loss_threshold))
        if not rows[-1].get("left_out"):
            now.synthetic = now.optimiser.update(iteration, now.synthetic, gradients)
        now.memory, episode = found.memory, matching.proceed(now.synthetic, episode)
    if iteration % outer.snapshot_every == 0:
        progress.snapshots.append((iteration, labels.of(progress.result(), first)))
    progress.history += rows
    progress.synthetic, progress.optimiser, progress.memory = now.synthetic, now.optimiser, now.memory
    if progress.average_NCHW is not None and isinstance(outer.averaging, Ema) and not rows[-1].get("left_out"):
        averaging = composition.load(composition.AVERAGES["ema"][0])
        decay = averaging.decay_of(outer.averaging, outer.iterations)
        progress.average_NCHW = averaging.update(progress.average_NCHW, progress.synthetic.images_NCHW, decay)
    progress.iteration += 1


def _evaluate(progress: Progress, matching: Matching, episode: Episode, sharpness: Sharpness, stream: Stream) -> Found:
    kind = cast(Kind[Sharpness], composition.load(composition.SHARPNESS[sharpness.kind]).evaluate)
    return kind(sharpness, matching, progress.synthetic, episode, memory=progress.memory, stream=stream)


def _row(progress: Progress, episode: Episode, gradients: Gradients, found: Found, loss_threshold: float | None) -> Row:
    row = {
        "iteration": progress.iteration,
        **episode.facts,
        "loss": float(found.trace.loss),
        "step_size": float(progress.synthetic.step_size),
        "image_gradient_norm": float(gradients.images.norm()),
        "step_size_gradient": float(gradients.step_size),
        **found.facts,
    }
    if gradients.labels is not None:
        row["label_gradient_norm"] = float(gradients.labels.norm())
    if loss_threshold is not None:
        row["left_out"] = int(row["loss"] > loss_threshold)
    return row


def _save(state: State, progress: Progress) -> None:
    tensors = _named("current", progress.synthetic) | progress.optimiser.tensors()
    if progress.average_NCHW is not None:
        tensors["average"] = progress.average_NCHW
    if progress.memory is not None:
        tensors["memory"] = progress.memory
    for index, (_, synthetic) in enumerate(progress.snapshots):
        tensors |= _named(f"snapshot{index}", synthetic)
    meta = {
        "iteration": progress.iteration,
        "snapshots": [iteration for iteration, _ in progress.snapshots],
        "history": progress.history,
    }
    state.save("distill", tensors, meta)


def _named(prefix: str, synthetic: SyntheticSet) -> dict[str, Tensor]:
    return {
        f"{prefix}.images": synthetic.images_NCHW,
        f"{prefix}.labels": synthetic.labels,
        f"{prefix}.step_size": synthetic.step_size,
    }


def _restore(state: State, outer: Outer, device: torch.device) -> Progress | None:
    saved = state.load("distill")
    if saved is None:
        return None
    tensors, meta = saved
    assert isinstance(meta, dict)  # noqa: S101 (written by _save)

    def named(prefix: str) -> SyntheticSet:
        parts = (tensors[f"{prefix}.{part}"] for part in ("images", "labels", "step_size"))
        return SyntheticSet(*parts).to(device)

    optimiser = OuterOptimiser.of(outer)
    optimiser.restore(tensors, device)
    snapshots = [(iteration, named(f"snapshot{index}")) for index, iteration in enumerate(meta["snapshots"])]
    average, memory = (tensors[name].to(device) if name in tensors else None for name in ("average", "memory"))
    return Progress(meta["iteration"], named("current"), optimiser, snapshots, meta["history"], average, memory)
