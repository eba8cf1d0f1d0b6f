"""The table of stages: paths with wildcards, outputs and the command line of each."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

DEFAULT_EXPERIMENT = "digits"


@dataclass(frozen=True, slots=True)
class Stage:
    """One row of the table: a job's label, its outputs' paths and its command, all with the same wildcards.

    Labels join words with `_`, which no name contains, so no two jobs can share one.
    """

    name: str
    label: str
    folder: str
    payloads: Mapping[str, str]
    command: str
    metrics: tuple[str, ...] = ()
    plots: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # the columns to draw: along x, along y
    directories: tuple[str, ...] = ()

    @property
    def log(self) -> str:
        """Where the stage writes its log, with wildcards."""
        return f"logs/{self.name}/{self.label}.log"

    @property
    def costs(self) -> str:
        """Where the stage notes what it cost, with wildcards."""
        return f"costs/{self.label}.json"

    @property
    def outputs(self) -> dict[str, str]:
        """Paths with wildcards, by name; the card comes last."""
        paths = {name: f"{self.folder}/{file}" for name, file in self.payloads.items()}
        return paths if self.name == "report" else {**paths, "card": f"{self.folder}/card.json"}


_SET = "{dataset}/{method}/ipc{ipc}/set{set}"
STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "data",
            "data_{dataset}",
            "artifacts/data/{dataset}",
            {"train": "train.zarr", "test": "test.zarr"},
            "dcpipe data {dataset}",
            directories=("train", "test"),
        ),
        Stage(
            "whiten",
            "whiten_{dataset}",
            "artifacts/whitening/{dataset}",
            {"whitening": "whitening.zarr"},
            "dcpipe whiten {dataset}",
            directories=("whitening",),
        ),
        Stage(
            "experts",
            "experts_{dataset}_{experts}_shard{shard}",
            "artifacts/experts/{dataset}/{experts}/shard{shard}",
            {"trajectory": "trajectory.zarr"},
            "dcpipe experts {dataset} {experts} --shard {shard}",
            directories=("trajectory",),
        ),
        Stage(
            "convexify",
            "convexify_{dataset}_{experts}_{waypoints}_shard{shard}",
            "artifacts/convex/{dataset}/{experts}/{waypoints}/shard{shard}",
            {"path": "path.zarr", "accuracies": "accuracies.csv"},
            "dcpipe convexify {dataset} {experts} --waypoints {waypoints} --shard {shard}",
            directories=("path",),
        ),
        Stage(
            "distill",
            "distill_{dataset}_{method}_ipc{ipc}_set{set}",
            f"artifacts/synthetic/{_SET}",
            {
                "synthetic": "synthetic.safetensors",
                "snapshots": "snapshots.safetensors",
                "history": "history.csv",
                "preview": "preview.png",
            },
            "dcpipe distill {dataset} {method} --ipc {ipc} --set {set}",
            plots={"history": ("iteration", "loss")},
        ),
        Stage(
            "evaluate",
            "evaluate_{dataset}_{method}_ipc{ipc}_set{set}_{evaluation}_{network}",
            f"artifacts/scores/{_SET}/{{evaluation}}/{{network}}",
            {"scores": "scores.json"},
            "dcpipe evaluate {dataset} {method} --ipc {ipc} --set {set} --protocol {evaluation} --network {network}",
            metrics=("scores",),
        ),
        Stage(
            "metrics",
            "metrics_{experiment}",
            "artifacts/metrics/{experiment}",
            {"metrics": "metrics.json"},
            "dcpipe metrics {experiment}",
            metrics=("metrics",),
        ),
        Stage(
            "report",
            "report_{experiment}",
            "results/{experiment}",
            {"page": "report.html", "summary": "summary.csv"},
            "dcpipe report {experiment}",
        ),
    )
}
WILDCARDS = {"ipc": "[1-9][0-9]*", "set": "[0-9]+", "shard": "[0-9]+"}
NAME = "[a-z0-9]+(?:-[a-z0-9]+)*"


def results_folder(experiment: str) -> str:
    """Where an experiment's views go: the default one's are in `results/` itself."""
    return "results" if experiment == DEFAULT_EXPERIMENT else f"results/{experiment}"


def match(path: str) -> tuple[str, dict[str, str]] | None:
    """The stage whose output, or folder of outputs, a path is, with its wildcards; None if there is none."""
    for stage in STAGES.values():
        patterns = () if stage.name == "report" else (*stage.outputs.values(), stage.folder)
        for pattern in patterns:
            found = re.fullmatch(_as_regex(pattern), path.rstrip("/"))
            if found:
                return stage.name, found.groupdict()
    return None


def _as_regex(pattern: str) -> str:
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{WILDCARDS.get(name, NAME)})"

    return re.sub(r"\\\{(\w+)\\\}", group, re.escape(pattern))
