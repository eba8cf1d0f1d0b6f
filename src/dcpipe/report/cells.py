"""The cells of a report: accuracies on the synthetic sets of one kind, read from verified artifacts."""

import hashlib
import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcpipe.distillation.pixel_range import is_far_out_of_range
from dcpipe.params.method import Method
from dcpipe.provenance import artifact, card_fields
from dcpipe.provenance.json_value import JsonValue
from dcpipe.report import comparison
from dcpipe.report.baseline import BASELINE
from dcpipe.report.comparison import Difference, SetScores
from dcpipe.report.published import WHOLE
from dcpipe.report.unsourced import CellName
from dcpipe.workflow import costs
from dcpipe.workflow.job import Job

CellGroup = tuple[str, int, str, str, str]
_Key = tuple[str, int, str, str, str]


@dataclass(frozen=True, slots=True)
class JobCost:
    """Time, memory and device of one job."""

    seconds: float
    peak_bytes: int
    device: str


@dataclass(frozen=True, slots=True)
class EvaluatedSet:
    """One synthetic set and the accuracies, in percent, of the networks trained on it."""

    index: int
    accuracies: tuple[float, ...]
    evaluation: Job
    distillation: Job
    digest: str  # of the synthetic set's payload
    cost: JobCost | None  # of making the set; None: not measured
    searched_rate: float | None = None  # the learning rate that validation images chose; None: none was searched
    validation: float | None = None  # mean accuracy on validation images at that rate, in percent
    pixels: tuple[float, float] | None = None  # lowest and highest of its images; None: an older card
    curve: tuple[tuple[int, tuple[float, ...]], ...] = ()  # iterations and accuracies of the sets before it, and itself
    unaveraged: tuple[float, ...] = ()  # accuracies on the images before averaging, by a protocol that tests both


@dataclass(frozen=True, slots=True)
class Cell:
    """One number of a report: the networks of all its sets, pooled. `std` is the population's."""

    dataset: str
    method: str
    label: str
    ipc: int
    protocol: str
    selection: str
    network: str
    sets: tuple[EvaluatedSet, ...]
    papers_dataset: str = ""  # the name under which papers print numbers for these images
    unsourced: str | None = None  # whose values it has, where no source states them for it

    @property
    def scores(self) -> SetScores:
        """The accuracies, a sequence for each set."""
        return [one.accuracies for one in self.sets]

    @property
    def accuracies(self) -> tuple[float, ...]:
        """Every single run."""
        return tuple(value for one in self.sets for value in one.accuracies)

    @property
    def mean(self) -> float:
        """Mean accuracy in percent."""
        return statistics.fmean(self.accuracies)

    @property
    def std(self) -> float:
        """Population standard deviation in points."""
        return statistics.pstdev(self.accuracies)

    @property
    def n(self) -> int:
        """How many networks were trained."""
        return len(self.accuracies)

    @property
    def validation(self) -> float | None:
        """Mean accuracy on validation images in percent, where they chose a learning rate for every set."""
        values = [one.validation for one in self.sets if one.validation is not None]
        return statistics.fmean(values) if len(values) == len(self.sets) else None

    @property
    def unaveraged_accuracy(self) -> float | None:
        """Mean accuracy in percent on the images before averaging; None unless every set was tested so."""
        values = [value for one in self.sets for value in one.unaveraged]
        return statistics.fmean(values) if len(values) == self.n else None

    @property
    def pixel_range(self) -> tuple[float, float] | None:
        """The lowest and the highest pixel of all sets whose cards say it; None if none does."""
        seen = [one.pixels for one in self.sets if one.pixels]
        return (min(low for low, _ in seen), max(high for _, high in seen)) if seen else None

    @property
    def is_far_out_of_range(self) -> bool:
        """Whether a set has pixels far out of range: what its score means is not known."""
        return self.pixel_range is not None and is_far_out_of_range(self.pixel_range)

    @property
    def known_costs(self) -> list[JobCost]:
        """The costs of those sets that have any."""
        return [one.cost for one in self.sets if one.cost]

    @property
    def seconds(self) -> float | None:
        """Seconds to make all sets; None unless each was measured."""
        known = self.known_costs
        return round(sum(cost.seconds for cost in known), 3) if len(known) == len(self.sets) else None

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that making one of the sets took; None unless each was measured."""
        known = self.known_costs
        return max(cost.peak_bytes for cost in known) if len(known) == len(self.sets) else None

    @property
    def digest(self) -> str:
        """16 hex digits of the SHA-256 over the sets' payload digests, sorted, a line each."""
        lines = "".join(f"{digest}\n" for digest in sorted(one.digest for one in self.sets))
        return hashlib.sha256(lines.encode()).hexdigest()[:16]

    @property
    def group(self) -> CellGroup:
        """The values that two cells must share to be compared: dataset, ipc, protocol, selection, network."""
        return self.dataset, self.ipc, self.protocol, self.selection, self.network

    @property
    def images_per_class(self) -> int | None:
        """Images per class; None: trained on all real images, whatever the experiment's ipc."""
        return None if self.method == WHOLE else self.ipc

    @property
    def title(self) -> str:
        """The cell's name for people, without its protocol."""
        return f"{self.label} on {self.dataset}, {images_phrase(self.images_per_class)}"


def images_phrase(ipc: int | None) -> str:
    """A number of images per class for people; None: all of the training images."""
    return "all images" if ipc is None else f"{ipc} image{'' if ipc == 1 else 's'} per class"


def gather_cells(job: Job, root: Path) -> list[Cell]:
    """The cells of a report job, in the experiment's order of datasets, ipc and methods.

    Raises: CorruptArtifactError naming a file whose bytes differ from its card; UserError if one is missing.
    """
    evaluations, distillations = _jobs(job, "scores"), {_set_of(one): one for one in _jobs(job, "sets")}
    sets: dict[_Key, dict[int, EvaluatedSet]] = {}
    selections: dict[_Key, str] = {}
    for one in evaluations:
        scores = _scores(root / one.outputs["scores"])
        wildcards, made = one.wildcards, distillations[_set_of(one)]
        place = (wildcards["dataset"], int(wildcards["ipc"]), wildcards["method"], wildcards["evaluation"])
        key, index = (*place, scores["network"].text()), int(wildcards["set"])
        # a network that is asked for both as `native` and by its name is one cell
        sets.setdefault(key, {}).setdefault(
            index,
            EvaluatedSet(
                index=index,
                accuracies=tuple(scores["accuracies"].numbers()),
                evaluation=one,
                distillation=made,
                digest=artifact.payload_digest(artifact.verify_payload(root / made.outputs["synthetic"])),
                cost=cost_of(made, root),
                searched_rate=scores["learning_rate"].number() if scores.get("searched") else None,
                validation=_validation(scores),
                pixels=_pixel_range(root / made.outputs["synthetic"]),
                curve=_curve(scores),
                unaveraged=_unaveraged(scores),
            ),
        )
        selections[key] = scores["selection"].text()
    keys = sorted(sets, key=_sort_key(list(sets)))
    papers, marks = job.section("papers", dict), job.section("unsourced", dict)
    return [_cell(key, selections[key], sets[key], papers[key[0]], marks) for key in keys]


def _pixel_range(synthetic: Path) -> tuple[float, float] | None:
    seen = card_fields.facts_of(artifact.read_card(synthetic)).get("pixel_range")
    if seen is None:
        return None
    low, high = seen.numbers()
    return low, high


def _scores(path: Path) -> JsonValue:
    return JsonValue(json.loads(artifact.verify_payload(path).read_text()), str(path))


def _curve(scores: JsonValue) -> tuple[tuple[int, tuple[float, ...]], ...]:
    curve = scores.get("curve")
    points = curve.elements() if curve else []
    return tuple((point["iteration"].integer(), tuple(point["accuracies"].numbers())) for point in points)


def _unaveraged(scores: JsonValue) -> tuple[float, ...]:
    accuracies = scores.get("unaveraged_accuracies")
    return tuple(accuracies.numbers()) if accuracies else ()


def _validation(scores: JsonValue) -> float | None:
    """The validation accuracy of the rate that was chosen."""
    searched = scores.get("searched")
    if searched is None:
        return None
    rate = scores["learning_rate"].number()
    chosen = next(one for one in searched.elements() if one["learning_rate"].number() == rate)
    return chosen["validation_mean"].number()


def cost_of(job: Job, root: Path) -> JobCost | None:
    """Time, memory and device of a job; None: not measured."""
    found = costs.measured_costs(root / job.costs_path)
    return JobCost(found.seconds, found.peak_bytes, found.device) if found else None


def differences(cells: Sequence[Cell], reference: str = BASELINE) -> dict[int, Difference]:
    """How far each cell is above a method, by its position; without one beside it, or of all images, it is left out."""
    references = {cell.group: cell for cell in cells if cell.method == reference}
    return {
        position: cell_difference(cell, references[cell.group])
        for position, cell in enumerate(cells)
        if cell.method not in {reference, WHOLE} and cell.group in references
    }


def best_methods(cells: Sequence[Cell]) -> set[str]:
    """The methods of a column that lead it: the highest mean, and those not below it by two standard errors.

    None if that is every method, or there is one method alone: no number stands out.
    """
    if len(cells) < 2:
        return set()
    best = max(cells, key=lambda cell: cell.mean)
    leading = {cell.method for cell in cells if cell is best or not cell_difference(best, cell).is_clearly_above}
    return leading if len(leading) < len(cells) else set()


def cell_difference(cell: Cell, other: Cell) -> Difference:
    """How far a cell is above another."""
    return comparison.difference(cell.scores, other.scores)


def standard_error(cell: Cell) -> float | None:
    """Of a cell's mean, in points: over set means where it has two sets or more, else over networks; None for one."""
    return comparison.standard_error(cell.scores)


def _jobs(job: Job, name: str) -> tuple[Job, ...]:
    return job.section(name, tuple)


def _set_of(job: Job) -> tuple[str, ...]:
    return tuple(job.wildcards[name] for name in ("dataset", "method", "ipc", "set"))


def _sort_key(keys: Sequence[_Key]) -> Callable[[_Key], tuple[int, ...]]:
    """By the order in which datasets, ipc, methods, protocols and networks first appear."""
    seen: list[dict[object, int]] = [{} for _ in keys[0]]
    for key in keys:
        for known, part in zip(seen, key, strict=True):
            known.setdefault(part, len(known))
    return lambda key: tuple(known[part] for known, part in zip(seen, key, strict=True))


def _cell(
    key: _Key,
    selection: str,
    sets: dict[int, EvaluatedSet],
    papers_dataset: str,
    marks: Mapping[CellName, str],
) -> Cell:
    dataset, ipc, method, protocol, network = key
    ordered = tuple(sets[index] for index in sorted(sets))
    section = ordered[0].distillation.sections["method"]
    label = section.label if isinstance(section, Method) else method
    mark = marks.get((dataset, method, ipc))
    return Cell(dataset, method, label, ipc, protocol, selection, network, ordered, papers_dataset, mark)
