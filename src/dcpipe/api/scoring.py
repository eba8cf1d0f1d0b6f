"""`dcpipe.evaluate`: how well networks do that are trained on a distilled set, whoever made it.

A set is scored on a dataset of the workspace. Where somebody gives the test images, that is a dataset of its own, which
the set enters as it is (`matching.selection.kind: given`); a set that was made here of a named dataset is scored on
that one.
"""

import json
import statistics
from dataclasses import dataclass
from pathlib import Path

from dcpipe.api.distilled_set import DistilledSet
from dcpipe.api.evaluation_dataset import EvaluationDataset, TestLike, evaluation_dataset_for
from dcpipe.api.labelled_images import ImagesLike, LabelsLike
from dcpipe.api.loading import load
from dcpipe.api.reading import from_tensors
from dcpipe.api.running import run_jobs
from dcpipe.api.workspace import Workspace
from dcpipe.errors import UserError
from dcpipe.params.strict_yaml import Tree
from dcpipe.provenance import artifact
from dcpipe.provenance.json_value import JsonValue
from dcpipe.report.comparison import standard_error
from dcpipe.workflow.job import Job

SetLike = DistilledSet | tuple[ImagesLike, LabelsLike] | str | Path


@dataclass(frozen=True, slots=True)
class Scores:
    """Test accuracies in percent, one per network, and what they were measured by."""

    accuracies: tuple[float, ...]
    protocol: str
    network: str
    test_images: int
    card: dict[str, object]

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
    def standard_error(self) -> float | None:
        """Of the mean, in points; None for one network."""
        return standard_error([self.accuracies])

    def __str__(self) -> str:
        networks = f"{self.n} network{'' if self.n == 1 else 's'}, {self.network}"
        measured = f"protocol {self.protocol}, {self.test_images:,} test images"
        return f"{self.mean:.1f} ± {self.std:.1f} % ({networks}, {measured})"


def evaluate(
    distilled: SetLike,
    test: TestLike | None = None,
    *,
    protocol: str | None = None,
    networks: int | None = None,
    network: str | None = None,
    workspace: str | Path | None = None,
) -> Scores:
    """Train fresh networks on a distilled set and test them. The same call takes what was measured before.

    Args:
        distilled: what `dcpipe.distill`, `dcpipe.load` or `dcpipe.from_tensors` gave; a path for `dcpipe.load`; or
            images and labels for `dcpipe.from_tensors`.
        test: images and labels as for `dcpipe.distill`, a torch Dataset, or the name of a dataset; None: the test
            images of the named dataset that the set was made of. Nothing but this call looks at them.
        protocol: a file of params/evaluations, such as "dsa-300"; None: "digits" for grey images (200 epochs, no
            augmentation), "dsa-300" for those in colour.
        networks: how many networks; None: as many as the protocol says.
        network: their name, such as "convnet3"; None: the one that goes with the images.
        workspace: as for `dcpipe.distill`; None: the set's own, or a temporary one.

    Raises: UserError, before anything is computed, for sets, images or names that are not possible or do not fit.
    """
    one = as_distilled_set(distilled)
    target = evaluation_dataset_for([one], test, workspace)
    job = target.job(one, protocol_name(target, protocol, networks), network or "native")
    run_jobs(target.workspace.graph(), [job])
    one.scored = (target.workspace, job)
    return read_scores(target.workspace, job)


def as_distilled_set(distilled: SetLike, label: str = "given") -> DistilledSet:
    """What may stand for a set, as one."""
    if isinstance(distilled, DistilledSet):
        return distilled
    if isinstance(distilled, str | Path):
        return load(distilled)
    if isinstance(distilled, tuple) and len(distilled) == 2:
        try:
            return from_tensors(*distilled, label=label)
        except UserError as error:
            raise UserError(error.problem, where=f"the set {label}: {error.where}", remedy=error.remedy) from error
    remedy = "pass what dcpipe.distill or dcpipe.load gave, the path of a set, or (images, labels)"
    raise UserError(f"is {type(distilled).__name__}", where=f"the set {label}", remedy=remedy)


def read_scores(workspace: Workspace, job: Job) -> Scores:
    """The scores that a job has made."""
    path = artifact.verify_payload(workspace.root / job.outputs["scores"])
    card = artifact.read_card(path)
    tested = JsonValue(card, str(path))["facts"]["test_images"].integer()
    scores = JsonValue(json.loads(path.read_text()), str(path))
    return Scores(
        tuple(scores["accuracies"].numbers()),
        job.wildcards["evaluation"],
        scores["network"].text(),
        tested,
        card,
    )


def protocol_name(target: EvaluationDataset, protocol: str | None, networks: int | None) -> str:
    """The name in the workspace of a protocol with so many networks. Raises: UserError if there is none."""
    workspace = target.workspace
    name = protocol or ("digits" if target.config.facts.channels == 1 else "dsa-300")
    workspace.refuse_unknown("evaluations", name, "protocol")
    if networks is None:
        return name
    if not isinstance(networks, int) or isinstance(networks, bool) or networks < 1:
        raise UserError(f"is {networks!r}", where="networks", remedy="pass a whole number from 1")
    resolved, evaluation = workspace.graph().library.evaluation(name, target.dataset, 1)
    if evaluation.networks == networks:
        return name
    tree: Tree = {"base": name, "description": resolved.leaves["description"].value, "networks": networks}
    if evaluation.side_by_side > networks:
        tree["side_by_side"] = networks
    return workspace.define("evaluations", tree, stem=f"{name}-{networks}")
