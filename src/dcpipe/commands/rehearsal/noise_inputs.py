"""Noise in place of a job's inputs, in the right shapes and stores, so that a job can be tried without its data.

The results of such a job mean nothing; its cost per step is that of the real job.

Legend: N images, C channels, H W pixels, K classes, P parameters.
"""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from dcpipe.data import store
from dcpipe.data.store import Part, Standardisation
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.experts import trajectory
from dcpipe.experts.trajectory import ParameterLayout, Recording
from dcpipe.models.build import build
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.epochs import kept_epochs
from dcpipe.params.experts import Experts
from dcpipe.params.method import Method
from dcpipe.random import Stream
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job
from dcpipe.workflow.task import Task

EXPERT_DRIFT = 1e-2  # how far experts made of noise move from one kept epoch to the next, over their length


@dataclass(frozen=True, slots=True)
class NoiseInputs:
    """A root whose inputs are noise.

    `per_class` training, validation and, of a set that is scored, synthetic images; `test_images` in all.
    """

    graph: Graph
    root: Path
    per_class: int
    test_images: int

    def provide(self, job: Job) -> Job:
        """Write noise for all that a job reads.

        Returns: the job without whitening, which costs nothing a step, and with one shard of experts.
        """
        inputs = {
            name: paths if name == "scores" else paths[:1] for name, paths in job.inputs.items() if name != "whitening"
        }
        for path in (path for paths in inputs.values() for path in paths):
            maker = self.graph.job_that_makes(path)
            if not (self.root / maker.folder / "card.json").exists():
                self._make(maker)
        return replace(job, inputs=inputs)

    def _make(self, maker: Job) -> None:
        match maker.stage:
            case "data":
                execute_job(maker, self.root, run_instead=self._write_images)
            case "experts":
                execute_job(self.provide(maker), self.root, run_instead=self._write_trajectory)
            case "distill":
                execute_job(replace(maker, inputs={}), self.root, run_instead=self._write_synthetic_set)
            case "evaluate":
                execute_job(replace(maker, inputs={}), self.root, run_instead=self._write_scores)
            case _:  # as it is, on noise inputs below it
                execute_job(self.provide(maker), self.root)

    def _facts(self, job: Job) -> DatasetFacts:
        return self.graph.library.dataset(job.wildcards["dataset"])[1].facts

    def _write_images(self, task: Task) -> None:
        facts = self._facts(task.job)
        config = self.graph.library.dataset(task.job.wildcards["dataset"])[1]
        train = np.tile(np.arange(facts.classes), self.per_class)
        test = np.arange(self.test_images) % facts.classes
        parts: list[tuple[str, Part, NDArray[np.int64]]] = [("train", "train", train), ("test", "test", test)]
        parts += [("train", "val", train)] if config.split.validation_per_class else []
        for output, part, labels in parts:
            _write_noise(task.output(output), part, labels, facts)
        for output in ("train", "test"):
            half = Standardisation((0.5,) * facts.channels, (0.25,) * facts.channels)
            store.write_attributes(task.output(output), classes=facts.classes, standardisation=half)

    def _write_trajectory(self, task: Task) -> None:
        config, network, facts = task.section("experts", Experts), task.section("network", str), self._facts(task.job)
        model = build(network, channels=facts.channels, image_size=facts.image_size, classes=facts.classes)
        kept = kept_epochs(config.kept_epochs, config.epochs)
        draws = Stream.root(0, "made up", task.job.name).generator()
        theta_P = model.initial_parameters(draws)
        steps_EP = torch.randn((len(kept), *theta_P.shape), generator=draws)
        steps_EP *= EXPERT_DRIFT * theta_P.norm() / theta_P.numel() ** 0.5
        lengths = [[1.0] * len(model.layout)] * config.epochs
        made = Recording(theta_P + steps_EP.cumsum(0), [1.0] * config.epochs, [50.0] * (config.epochs + 1), lengths)
        trajectory.write(
            task.output("trajectory"),
            [made],
            epochs=kept,
            layout=ParameterLayout.from_specs(network, model.layout),
            codec="none",
            level=0,
        )

    def _write_synthetic_set(self, task: Task) -> None:
        facts = self._facts(task.job)
        count = facts.classes * self.per_class
        shape = (count, facts.channels, facts.image_size, facts.image_size)
        images = torch.randn(shape, generator=Stream.root(0, "made up", task.job.name).generator())
        outer = task.section("method", Method).outer
        unaveraged = images if outer and outer.averaging.keeps_unaveraged else None
        made = SyntheticSet(images, torch.arange(count) % facts.classes, torch.tensor(0.01), unaveraged_NCHW=unaveraged)
        synthetic_set.save(task.output("synthetic"), made)
        synthetic_set.save_snapshots(task.output("snapshots"), [(1, made)])
        for name in ("history", "preview"):
            task.output(name).write_text("")

    @staticmethod
    def _write_scores(task: Task) -> None:
        draws = torch.rand(3, generator=Stream.root(0, "made up", task.job.name).generator())
        task.output("scores").write_text(json.dumps({"accuracies": (100 * draws).tolist()}))


def _write_noise(path: Path, part: Part, labels_N: NDArray[np.int64], facts: DatasetFacts) -> None:
    shape = (facts.channels, facts.image_size, facts.image_size)
    draws = np.random.default_rng(0)

    def read(start: int, stop: int) -> NDArray[np.uint8]:
        return draws.integers(0, 256, (stop - start, *shape), dtype=np.uint8)

    store.write(path, part, labels_N, shape, read)
