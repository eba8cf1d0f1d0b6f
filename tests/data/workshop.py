"""A repository of one's own: the params of this one, data in a folder beside them, stages run in this process."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from numpy.typing import NDArray

from dcpipe.data import store
from dcpipe.data.source import digest_of
from dcpipe.workflow import execution
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

REPOSITORY = Path(__file__).parents[2]
ANY = f"sha256:{0:064d}"  # a digest that no data has
QUICK = "base: digits\ndescription: One network, two passes.\nnetworks: 1\nepochs: 1\n"


@dataclass(frozen=True)
class Workshop:
    """`root` is the repository, `data` what DCPIPE_DATA should name."""

    root: Path
    data: Path

    @classmethod
    def make(cls, path: Path) -> "Workshop":
        """Copy the params."""
        shutil.copytree(REPOSITORY / "params", path / "root" / "params")
        (path / "root" / "params" / "evaluations" / "quick.yaml").write_text(QUICK)
        (path / "data").mkdir()
        return cls(path / "root", path / "data")

    def dataset(self, name: str, **changes: object) -> None:
        """Write params/datasets/<name>.yaml: these keys (JSON is YAML), a network that costs nothing."""
        tree = {"description": "A test.", "network": "convnet1-w4", "whitening": {"kind": "none"}, **changes}
        path = self.root / "params" / "datasets" / f"{name}.yaml"
        path.write_text("".join(f"{key}: {json.dumps(value)}\n" for key, value in tree.items()))

    def folder(self, name: str, *, test_per_class: int | None = None, **source: object) -> None:
        """Write the params of a dataset of one's own."""
        self.dataset(
            name,
            source={"kind": "folder", "name": name, "classes": 3, "channels": 3, "image_size": 8, "digest": None}
            | source,
            split={"seed": 0, "test_per_class": test_per_class, "validation_per_class": 0, "train_per_class": None},
            standardise={"kind": "from-train"},
        )

    def job(self, stage: str, **words: str | int) -> Job:
        """A job as planned now."""
        return Graph(self.root).make_job(stage, **words)

    def run(self, stage: str, **words: str | int) -> dict[str, object]:
        """Run one stage. Returns its card."""
        return self.execute(self.job(stage, **words))

    def execute(self, job: Job) -> dict[str, object]:
        """Run one job as it was planned. Returns its card."""
        return execution.execute_job(job, self.root)

    def prepare(self, dataset: str) -> dict[str, object]:
        """Run the data stage. Returns the facts of its card."""
        return cast(dict[str, object], self.run("data", dataset=dataset)["facts"])

    def digest(self, dataset: str) -> str:
        """The digest of a dataset's source as it is now; its params must give some digest."""
        config = Graph(self.root).library.dataset(dataset)[1]
        return digest_of(config.source.open(config.facts, self.root).files())

    def pinned(self, name: str, source: dict[str, object], **changes: object) -> None:
        """Write a dataset whose params give the digest of what is there."""
        self.dataset(name, source=source | {"digest": ANY}, **changes)
        self.dataset(name, source=source | {"digest": self.digest(name)}, **changes)

    def scores(self, dataset: str) -> dict[str, object]:
        """Prepare, choose an image per class at random, evaluate. Returns the scores."""
        self.prepare(dataset)
        words: dict[str, str | int] = {"dataset": dataset, "method": "random", "ipc": 1, "set": 0}
        self.run("distill", **words)
        words |= {"evaluation": "quick", "network": "native"}
        self.run("evaluate", **words)
        path = self.root / self.job("evaluate", **words).outputs["scores"]
        return cast(dict[str, object], json.loads(path.read_text()))

    def pixels(self, dataset: str, part: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """What the store of a prepared dataset holds."""
        file = "test.zarr" if part == "test" else "train.zarr"
        found = store.load_pixels(self.root / "artifacts" / "data" / dataset / file, cast(store.Part, part))
        return found.pixels_NCHW.numpy(), found.labels_N.numpy()

    def payload(self, dataset: str) -> dict[str, bytes]:
        """Every file of a prepared dataset, card included."""
        folder = self.root / "artifacts" / "data" / dataset
        return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
