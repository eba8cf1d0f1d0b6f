"""Label-robust and augmentation-robust scores: what a set is worth without its soft labels, or its augmentation.

With accuracies as shares of 1:

    hard-label recovery     HLR = whole(hard) - set(hard)      whole: networks trained on all real images
    improvement over random IOR = set - random
    label-robust score      LRS = f(w IOR - (1 - w) HLR)
    augmentation-robust     ARS = f(g (set - random with augmentation) + (1 - g) (set - random without))

where f(x) = (e^x - e^-1) / (e - e^-1), so that both are 0 at worst and 1 at best, and w = g = 1/2.

Source: DD-Ranking (arXiv:2505.13300). It takes the best test accuracy of training and searches the learning rate on
test images; here every accuracy is that of its protocol, which selects nothing on test images.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from dcpipe.evaluation.augmentation_config import NoAugmentation
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.method import Method
from dcpipe.report.baseline import BASELINE
from dcpipe.report.cells import Cell
from dcpipe.report.published import WHOLE
from dcpipe.report.table import Column, Table, Value

WEIGHT = 0.5
NO_AUGMENTATION = NoAugmentation(kind="none")


@dataclass(frozen=True, slots=True)
class RobustScores:
    """The scores of a cell, as shares of 1; None where the experiment lacks what they compare with."""

    recovery: float | None
    improvement: float | None
    label_robust: float | None
    augmentation_robust: float | None


def normalised(x: float) -> float:
    """f(x), between 0 at x = -1 and 1 at x = 1."""
    return (math.exp(x) - math.exp(-1)) / (math.e - math.exp(-1))


def label_robust_score(*, recovery: float, improvement: float, weight: float = WEIGHT) -> float:
    """LRS of a hard-label recovery and an improvement over random, as shares of 1."""
    return normalised(weight * improvement - (1 - weight) * recovery)


def augmentation_robust_score(*, augmented: float, plain: float, weight: float = WEIGHT) -> float:
    """ARS of the improvements over random with and without augmentation, as shares of 1."""
    return normalised(weight * augmented + (1 - weight) * plain)


def robust_scores(cell: Cell, cells: Sequence[Cell]) -> RobustScores:
    """The scores of a cell among the cells of its experiment."""
    twins = list(_alike(cell, cells))
    random = _accuracy(twins, BASELINE, _protocol(cell))
    improvement = None if random is None else cell.mean / 100 - random
    hard = replace(_protocol(cell), labels="hard")
    own = _accuracy(twins, cell.method, hard) if _may_be_soft(cell) else cell.mean / 100
    whole = _accuracy(list(_alike(cell, cells, any_size=True)), WHOLE, _protocol(cell), hard)
    recovery = None if whole is None or own is None else whole - own
    score = None
    if recovery is not None and improvement is not None:
        score = label_robust_score(recovery=recovery, improvement=improvement)
    return RobustScores(recovery, improvement, score, _augmentation_robust(cell, twins, improvement))


def robust_table(cells: Sequence[Cell]) -> Table | None:
    """One row for each cell that has a score; None if none has."""
    rows: list[tuple[Value, ...]] = []
    for cell in cells:
        if cell.method in {BASELINE, WHOLE}:
            continue
        found = robust_scores(cell, cells)
        if found.label_robust is None and found.augmentation_robust is None:
            continue
        scores = (found.recovery, found.improvement, found.label_robust, found.augmentation_robust)
        shown = [None if one is None else 100 * one for one in scores]
        rows.append((cell.dataset, cell.ipc, cell.label, cell.protocol, cell.network, cell.mean, *shown))
    if not rows:
        return None
    columns = (
        *(Column("dataset"), Column("ipc", "count"), Column("method"), Column("protocol"), Column("network")),
        *(Column("accuracy", "points"), Column("hard-label recovery", "points")),
        *(Column("improvement over random", "points"), Column("label-robust score", "points")),
        Column("augmentation-robust score", "points"),
    )
    caption = (
        "Label-robust and augmentation-robust scores as DD-Ranking defines them, in percent, of mean accuracies. "
        "Hard-label recovery is how far the set with hard labels is below all training images: lower is better. The "
        "first score needs all training images and random ones, and for soft labels a protocol with labels: hard; the "
        "second a protocol that differs by augmentation: none alone."
    )
    return Table("robust", caption, columns, tuple(rows))


def _augmentation_robust(cell: Cell, twins: Sequence[Cell], augmented: float | None) -> float | None:
    """None without a protocol that augments, and one that differs by not doing so."""
    own = _protocol(cell)
    if augmented is None or own.augmentation == NO_AUGMENTATION:
        return None
    plain = replace(own, augmentation=NO_AUGMENTATION)
    ours, random = (_accuracy(twins, method, plain) for method in (cell.method, BASELINE))
    if ours is None or random is None:
        return None
    return augmentation_robust_score(augmented=augmented, plain=ours - random)


def _alike(cell: Cell, cells: Iterable[Cell], *, any_size: bool = False) -> Iterable[Cell]:
    """The cells of the same dataset, selection and network, and images per class."""
    for one in cells:
        same = (one.dataset, one.selection, one.network) == (cell.dataset, cell.selection, cell.network)
        if same and (any_size or one.ipc == cell.ipc):
            yield one


def _accuracy(cells: Iterable[Cell], method: str, *protocols: Evaluation) -> float | None:
    """The mean accuracy, as a share of 1, of a method under the first of these protocols that it has."""
    known = [(cell, _protocol(cell)) for cell in cells if cell.method == method]
    wanted = [_without_description(one) for one in protocols]
    found = (cell.mean / 100 for one in wanted for cell, protocol in known if _without_description(protocol) == one)
    return next(found, None)


def _protocol(cell: Cell) -> Evaluation:
    return cell.sets[0].evaluation.section("evaluation", Evaluation)


def _without_description(protocol: Evaluation) -> Evaluation:
    return replace(protocol, description="")


def _may_be_soft(cell: Cell) -> bool:
    """Whether its sets may have soft labels, which a protocol with hard ones leaves out."""
    method = cell.sets[0].distillation.section("method", Method)
    if _protocol(cell).labels == "hard":
        return False
    return method.outer.labels.kind != "hard" if method.outer else not method.matching.has_hard_labels
