"""Training one shard of experts, one after the other, resumable after every epoch."""

import torch

from dcpipe import device
from dcpipe.data import store
from dcpipe.experts import trajectory
from dcpipe.experts.pass_config import training_pass
from dcpipe.experts.train import ExpertProgress, ExpertTrainer
from dcpipe.experts.trajectory import Recording
from dcpipe.loggers.run_logger import log_scalars
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import CLASSIFIED_AFTER_AN_EPOCH, Experts
from dcpipe.progress import detail, track
from dcpipe.provenance.json_value import JsonValue
from dcpipe.random import Stream
from dcpipe.workflow.stopping import stop, stop_requested
from dcpipe.workflow.task import Task


def run(task: Task) -> None:
    """Train the shard's experts and write their trajectory store."""
    config, wildcards = task.section("experts", Experts), task.job.wildcards
    network = task.section("network", str)
    data_path, target = task.input("train"), device.choose()
    whitened_by = task.input("whitening") if "whitening" in task.job.inputs else None
    train = store.load(data_path, "train", target, whitened_by)
    has_val = (data_path / "val").is_dir()
    part = store.load(data_path, "val", target, whitened_by) if has_val else train
    watched = part.evenly_spaced(CLASSIFIED_AFTER_AN_EPOCH)
    precision = config.compute.precision
    model = build(network, channels=train.channels, image_size=train.size, classes=train.classes, precision=precision)
    run_pass = training_pass(config.compute, network, train)
    kept = kept_epochs(config.kept_epochs, config.epochs)
    first = int(wildcards["shard"]) * config.shard_experts
    recordings = []
    for expert in track(range(first, first + config.shard_experts), f"experts {wildcards['dataset']}"):
        stream = Stream.root(config.seed, "experts", wildcards["dataset"], wildcards["experts"], expert)
        trainer = ExpertTrainer(model, train, watched, config, kept, stream, run_pass)
        recordings.append(_train_expert(task, trainer, f"expert{expert}"))
    trajectory.write(
        task.output("trajectory"),
        recordings,
        epochs=kept,
        layout=trajectory.ParameterLayout.from_specs(network, model.layout),
        codec=config.store.codec,
        level=config.store.level,
    )
    task.facts |= {
        "accuracies_on": "val" if has_val else "train",
        "accuracies_on_images": len(watched.labels_N),
        "final_accuracies": [recording.accuracies[-1] for recording in recordings],
        "parameters": model.num_parameters,
    }


def _train_expert(task: Task, trainer: ExpertTrainer, name: str) -> Recording:
    progress = _restore(task, trainer, name) or trainer.initial_progress()

    def save_when_due(progress: ExpertProgress) -> None:
        log_scalars(progress.epoch, {f"{name}/loss": progress.losses[-1], f"{name}/accuracy": progress.accuracies[-1]})
        finished = progress.epoch == trainer.params.epochs
        asked = stop_requested()  # once: a signal that comes between saving and leaving waits for the next turn
        if asked or task.state.is_due() or finished:
            _save(task, trainer.model, progress, name)
        if asked:
            stop()

    def leave_when_asked(progress: ExpertProgress, done: int, batches: int) -> None:
        detail(f"{name}: epoch {progress.epoch + 1} of {trainer.params.epochs}, {done} of {batches} batches")
        if stop_requested():
            _save(task, trainer.model, progress, name)
            stop()

    trainer.run(progress, save_when_due, leave_when_asked)
    statistics = torch.stack(progress.kept_statistics) if trainer.model.has_running_statistics else None
    kept = torch.stack(progress.kept)
    return Recording(kept, progress.losses, progress.accuracies, progress.lengths, statistics)


def _save(task: Task, model: FlatModel, progress: ExpertProgress, name: str) -> None:
    tensors = {"theta": progress.theta_P, "statistics": model.pack(progress.statistics)}
    if progress.kept:
        tensors["kept"] = torch.stack(progress.kept)
        tensors["kept_statistics"] = torch.stack(progress.kept_statistics)
    if progress.velocity_P is not None:
        tensors["velocity"] = progress.velocity_P
    meta = {
        "epoch": progress.epoch,
        "losses": progress.losses,
        "accuracies": progress.accuracies,
        "lengths": progress.lengths,
    }
    task.state.save(name, tensors, meta)


def _restore(task: Task, trainer: ExpertTrainer, name: str) -> ExpertProgress | None:
    saved = task.state.load(name)
    if saved is None:
        return None
    tensors, meta = saved
    target = trainer.train.images_NCHW.device
    logged = JsonValue(meta, str(task.state.path(name)))
    velocity = tensors.get("velocity")
    return ExpertProgress(
        epoch=logged["epoch"].integer(),
        theta_P=tensors["theta"].to(target),
        statistics=trainer.model.unpack(tensors["statistics"].to(target)),
        velocity_P=None if velocity is None else velocity.to(target),
        kept=list(tensors.get("kept", ())),
        kept_statistics=list(tensors.get("kept_statistics", ())),
        losses=logged["losses"].numbers(),
        accuracies=logged["accuracies"].numbers(),
        lengths=[one.numbers() for one in logged["lengths"].elements()],
    )
