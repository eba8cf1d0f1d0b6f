"""The label-robust score of one distilled set: DD-Ranking's own code, and this package's, on the same images.

    pip install --no-deps ddranking==0.2.0 && pip install timm pandas     # its pins of numpy and scipy are old
    python -m benchmarks.ranking_library [--epochs 50] [--runs 3]

DD-Ranking (arXiv:2505.13300) knows its own datasets only, so its loader is given scikit-learn's digits, as three equal
channels of 8x8 pixels; everything else is its code: training, search of learning rates, choice of the epoch, score. It
runs twice: as it is, with the best test accuracy of every tenth epoch and random images at the best of five rates; and
with the last epoch and one rate for all, which is what the protocol here does. Prints one JSON object.
"""

import argparse
import json
import platform
import statistics
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from ddranking.metrics import LabelRobustScoreHard, hard_label
from sklearn.datasets import load_digits
from torch import Tensor

import dcpipe
from dcpipe.api.workspace import Workspace
from dcpipe.report.robust_scores import label_robust_score

RATE, BATCH, IPC, CLASSES = 0.01, 256, 1, 10
TRAIN = 400  # of 1,797 digits; the rest is for test
PROTOCOL = """
base: digits
description: DD-Ranking's training by default, with one rate for all sets; the last epoch counts.
networks: {runs}
epochs: {passes}
learning_rate: {{kind: fixed, value: {rate}}}
"""


@dataclass(frozen=True, slots=True)
class Digits:
    """Standardised digits (N x 3 x 8 x 8) and their labels (N), and how they were standardised."""

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    mean: float
    std: float

    def prepared(self, pixels_NHW: Tensor) -> Tensor:
        """Pixels in [0, 1] as networks see them."""
        return ((pixels_NHW - self.mean) / self.std)[:, None].repeat(1, 3, 1, 1)


def digits() -> Digits:
    """The first four hundred to train on, the rest to test on."""
    pixels_NHW = torch.tensor(load_digits().images / 16, dtype=torch.float32)
    labels_N = torch.tensor(load_digits().target)
    mean, std = float(pixels_NHW[:TRAIN].mean()), float(pixels_NHW[:TRAIN].std(correction=0))
    prepared = ((pixels_NHW - mean) / std)[:, None].repeat(1, 3, 1, 1)
    return Digits((prepared[:TRAIN], labels_N[:TRAIN]), (prepared[TRAIN:], labels_N[TRAIN:]), mean, std)


@contextmanager
def loader_of(found: Digits) -> Iterator[None]:
    """DD-Ranking's loader gives these images, by the name of the dataset whose settings it knows."""
    train, test = (list(zip(images, labels.tolist(), strict=True)) for images, labels in (found.train, found.test))
    same = {label: label for label in range(CLASSES)}
    loaded = (3, (8, 8), [0.0], [1.0], CLASSES, train, test, test, same, same)
    # 0.2.0 appends each score twice, and then cannot write its table
    with (
        mock.patch.object(hard_label, "get_dataset", return_value=loaded),
        mock.patch.object(hard_label, "save_results"),
    ):
        yield


def theirs(found: Digits, made: tuple[Tensor, Tensor], *, epochs: int, runs: int, plainly: bool) -> Mapping[str, float]:
    """What DD-Ranking says of a set with hard labels, in points; `plainly`: the last epoch, and one rate for all."""
    with loader_of(found), tempfile.TemporaryDirectory() as folder:
        scorer = LabelRobustScoreHard(
            dataset="CIFAR10",
            model_name="ConvNet-3",
            ipc=len(made[1]) // CLASSES,
            im_size=(8, 8),
            data_aug_func=None,
            optimizer="sgd",
            lr_scheduler="step",
            step_size=epochs // 2 + 1,
            num_epochs=epochs,
            num_eval=runs,
            real_batch_size=BATCH,
            syn_batch_size=BATCH,
            num_workers=0,
            random_data_path=f"{folder}/random",
            eval_full_data=True,
            save_path=f"{folder}/scores.csv",
            device="cpu",
        )
        if plainly:
            scorer.test_interval = epochs
            scorer._hyper_param_search_for_hard_label = partial(scorer._compute_hard_label_metrics_helper, lr=RATE)
        return scorer.compute_metrics(image_tensor=made[0], hard_labels=made[1], syn_lr=RATE)


def ours(found: Digits, made: tuple[Tensor, Tensor], *, epochs: int, runs: int, workspace: Path) -> Mapping[str, float]:
    """The same by this package: mean accuracies of the set, of random images and of all, in points."""
    Workspace.open(workspace)
    text = PROTOCOL.format(runs=runs, passes=epochs - 1, rate=RATE)
    (workspace / "params/evaluations/ranking.yaml").write_text(text)
    images, labels = found.train
    draws = torch.Generator().manual_seed(0)
    order = torch.randperm(len(labels), generator=draws)
    count = len(made[1]) // CLASSES
    rows = torch.cat([order[labels[order] == label][:count] for label in range(CLASSES)])
    sets = {"set": made, "random": (images[rows], labels[rows]), "whole": found.train}
    means = {}
    for name, tensors in sets.items():
        one = dcpipe.from_tensors(*tensors, step_size=RATE, mean=[found.mean] * 3, std=[found.std] * 3)
        pixels = (found.test[0] * found.std + found.mean).clamp(0, 1)
        scores = dcpipe.evaluate(
            one, (pixels, found.test[1]), protocol="ranking", network="convnet3", workspace=workspace
        )
        means[name] = statistics.fmean(scores.accuracies)
    recovery, improvement = means["whole"] - means["set"], means["set"] - means["random"]
    score = label_robust_score(recovery=recovery / 100, improvement=improvement / 100)
    return {**means, "recovery": recovery, "improvement": improvement, "score": 100 * score}


def main() -> None:
    """Distil a set, score it in both ways, and print what came out."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    found = digits()
    sizes = {"epochs": asked.epochs, "runs": asked.runs}
    with tempfile.TemporaryDirectory() as folder:
        pixels = torch.tensor(load_digits().images[:TRAIN] / 16)[:, None]
        small = dcpipe.distill(
            pixels, found.train[1], method="dm", ipc=IPC, minutes=1, workspace=Path(folder) / "distilled"
        )
        made = found.prepared(small.pixels()[:, 0]), small.labels
        answer: dict[str, object] = {
            "machine": platform.processor() or platform.machine(),
            **sizes,
            "ours": ours(found, made, workspace=Path(folder) / "scored", **sizes),
        }
        for name, plainly in (("theirs, last epoch and one rate", True), ("theirs, as it is", False)):
            raw = theirs(found, made, plainly=plainly, **sizes)
            shares = {
                "recovery": raw["hard_label_recovery_mean"] / 100,
                "improvement": raw["improvement_over_random_mean"] / 100,
            }
            answer[name] = {**raw, "score of its numbers as shares": 100 * label_robust_score(**shares)}
    print(json.dumps(answer, indent=1, default=float))


if __name__ == "__main__":
    main()
