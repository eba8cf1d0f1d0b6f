"""`dcpipe.compare`: a table of sets that are scored in the same way, with random real images as the baseline."""

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dcpipe.api.distilled_set import DistilledSet
from dcpipe.api.evaluation_dataset import (
    EvaluationDataset,
    ImagesAndLabels,
    TestLike,
    evaluation_dataset_for,
    images_per_class,
)
from dcpipe.api.running import run_jobs
from dcpipe.api.scoring import Scores, SetLike, as_distilled_set, protocol_name, read_scores
from dcpipe.errors import UserError
from dcpipe.report.comparison import TIE_STANDARD_ERRORS, Difference, difference
from dcpipe.report.table import Column, Table
from dcpipe.workflow.job import Job

RANDOM = "random real images"
VERDICT_WORDS = {"above": "better", "below": "worse", "tie": "tie", "unknown": "not known"}


@dataclass(frozen=True, slots=True)
class Row:
    """One name of a comparison: the scores of each of its sets, and how it differs from the reference."""

    name: str
    images: int  # of one set
    scores: tuple[Scores, ...]
    difference: Difference | None  # None: it is the reference, or there is none

    @property
    def pooled(self) -> Scores:
        """The networks of all sets together."""
        first = self.scores[0]
        accuracies = tuple(value for one in self.scores for value in one.accuracies)
        return Scores(accuracies, first.protocol, first.network, first.test_images, {})

    @property
    def verdict(self) -> str:
        """Better, worse or a tie, which is a difference within two standard errors."""
        return VERDICT_WORDS[self.difference.verdict] if self.difference else ""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Sets that were scored by the same protocol on the same test images. Its text is a table."""

    rows: tuple[Row, ...]
    reference: str | None

    def __getitem__(self, name: str) -> Row:
        """A row by its name. Raises: KeyError."""
        return {row.name: row for row in self.rows}[name]

    @property
    def caption(self) -> str:
        """What was measured, in one line."""
        one = self.rows[0].scores[0]
        measured = f"protocol {one.protocol}, {one.network}, {one.test_images:,} test images"
        tie = f"; a tie is a difference within {TIE_STANDARD_ERRORS:g} standard errors" if self.reference else ""
        return f"Accuracy in % ± standard deviation over n networks; {measured}{tie}"

    @property
    def table(self) -> Table:
        """The rows as raw values; `.csv()` and `.latex()` give it for other programs."""
        against = self.reference or ""
        columns = [Column("set"), Column("images", "count"), Column("accuracy", "points"), Column("sd", "points")]
        columns += [Column("n", "count")]
        if self.reference:
            columns += [Column(f"against {against}", "points"), Column("standard error", "points"), Column("verdict")]
        return Table("comparison", self.caption, tuple(columns), tuple(map(self._values, self.rows)))

    def _values(self, row: Row) -> tuple[str | int | float | None, ...]:
        one, found = row.pooled, row.difference
        values = (row.name, row.images, one.mean, one.std, one.n)
        if self.reference is None:
            return values
        return (*values, found.points if found else None, found.error if found else None, row.verdict)

    def __str__(self) -> str:
        shown = self._text_lines()
        widths = [max(len(line[place]) for line in shown) for place in range(len(shown[0]))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in shown]
        return "\n".join([*(line.rstrip() for line in lines), "", self.caption])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """For notebooks."""
        head, *body = [[html.escape(cell) for cell in line] for line in self._text_lines()]
        rows = ["".join(f"<th>{cell}</th>" for cell in head)]
        rows += ["".join(f"<td>{cell}</td>" for cell in line) for line in body]
        table = "".join(f"<tr>{row}</tr>" for row in rows)
        return f"<table>{table}</table><p>{html.escape(self.caption)}</p>"

    def _text_lines(self) -> list[list[str]]:
        head = ["set", "images", "accuracy %", "n"] + ([f"against {self.reference}"] if self.reference else [])
        return [head, *(self._line(row) for row in self.rows)]

    def _line(self, row: Row) -> list[str]:
        one, found = row.pooled, row.difference
        line = [row.name, str(row.images), f"{one.mean:.1f} ± {one.std:.1f}", str(one.n)]
        if self.reference is None:
            return line
        if found is None:
            return [*line, ""]
        error = f" ± {found.error:.1f}" if found.error is not None else ""
        return [*line, f"{found.points:+.1f}{error}  {row.verdict}"]


def compare(
    sets: Mapping[str, SetLike | list[SetLike]],
    test: TestLike | None = None,
    *,
    protocol: str | None = None,
    networks: int | None = None,
    network: str | None = None,
    train: ImagesAndLabels | None = None,
    workspace: str | Path | None = None,
) -> Comparison:
    """Score sets in the same way, and random real images beside them where real images are known.

    Args:
        sets: a name for each set, as `dcpipe.evaluate` takes them; or for several sets of one kind, in a list.
        test: as for `dcpipe.evaluate`.
        protocol: as for `dcpipe.evaluate`.
        networks: as for `dcpipe.evaluate`.
        network: as for `dcpipe.evaluate`.
        train: real images and labels that random ones are drawn of; None: those that the sets were made of here.
        workspace: as for `dcpipe.evaluate`.

    Differences are to the random images, or without those to the first name. A tie is one within two standard errors.
    Raises: UserError, before anything is computed, for sets, images or names that are not possible or do not fit.
    """
    if not isinstance(sets, Mapping) or not sets:
        raise UserError(
            "are not a mapping of one name or more to sets", where="sets", remedy='pass {"mtt": small, "theirs": other}'
        )
    named = {name: _as_distilled_sets(one, name) for name, one in sets.items()}
    target = evaluation_dataset_for([one for several in named.values() for one in several], test, workspace, train)
    evaluation = protocol_name(target, protocol, networks)
    jobs = {
        name: [target.job(one, evaluation, network or "native") for one in several] for name, several in named.items()
    }
    sizes = {name: len(several[0].labels) for name, several in named.items()}
    if target.has_real and RANDOM not in jobs:
        ipc = images_per_class(next(iter(named.values()))[0])
        jobs = {RANDOM: target.random_jobs(ipc, evaluation, network or "native"), **jobs}
        sizes[RANDOM] = ipc * target.config.facts.classes
    run_jobs(target.workspace.graph(), [job for several in jobs.values() for job in several])
    for name, several in named.items():
        for one, job in zip(several, jobs[name], strict=True):
            one.scored = (target.workspace, job)
    return _comparison(target, jobs, sizes)


def _as_distilled_sets(one: SetLike | list[SetLike], name: str) -> list[DistilledSet]:
    """The sets of one name."""
    several = one if isinstance(one, list) else [one]
    if not several:
        raise UserError("has no set", where=f"sets[{name!r}]", remedy="pass at least one")
    return [as_distilled_set(each, name) for each in several]


def _comparison(target: EvaluationDataset, jobs: Mapping[str, Sequence[Job]], images: Mapping[str, int]) -> Comparison:
    scores = {name: tuple(read_scores(target.workspace, job) for job in several) for name, several in jobs.items()}
    reference = next(iter(scores)) if len(scores) > 1 else None
    rows = []
    for name, own in scores.items():
        found = None
        if reference is not None and name != reference:
            found = difference([one.accuracies for one in own], [one.accuracies for one in scores[reference]])
        rows.append(Row(name, images[name], own, found))
    return Comparison(tuple(rows), reference)
