"""Smoothed labels once more, as a package outside the repository that registers by the entry point `dcpipe.axes`."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import repository
from dcpipe.params.strict_yaml import read_yaml

pytestmark = pytest.mark.slow

LABELS = Path(__file__).parent / "added/labels/src/dcpipe/distillation/labels"
PYPROJECT = """
[build-system]
requires = ["setuptools"]
build-backend = "setuptools.build_meta"

[project]
name = "soft-lab"
version = "1.0"

[project.entry-points."dcpipe.axes"]
smoothed = "soft_lab.smoothed_config"
linear = "soft_lab.linear_network"

[tool.setuptools]
packages = ["soft_lab"]
"""
EXPERIMENT = """
title: Smoothed
description: A preset with a value of another package.
presets:
  own-smoothed:
    base: mtt
    description: MTT with smoothed labels.
    label: MTT, smoothed labels
    outer: {labels: {kind: smoothed, smoothing: 0.1}}
runs:
  - datasets: [tiny]
    methods: [own-smoothed, mtt]
    ipc: [1]
    sets: 1
    evaluations: [digits]
    networks: [native, linear]
"""
NAME = """
from dcpipe.params.network_name import FixedNetwork


class LinearName(FixedNetwork):
    names = ("linear",)

    def build(self, *, channels, image_size, classes):
        from soft_lab import linear

        return linear.Linear(channels * image_size**2, classes)
"""
LAYERS = """
import torch
from torch import nn


class Linear(nn.Module):
    def __init__(self, pixels, classes):
        super().__init__()
        self.head = nn.Linear(pixels, classes)

    def features(self, x):
        return torch.flatten(x, 1)

    def forward(self, x):
        return self.head(self.features(x))
"""
CARD = "artifacts/synthetic/tiny/{}/ipc1/set0/card.json"
LINEAR = {"modules.packages.soft_lab.linear_network", "modules.packages.soft_lab.linear"}


def keys(card: Path) -> set[str]:
    """The keys of code identity in a card."""
    return set(json.loads(card.read_text())["code"])


@dataclass(frozen=True)
class Lab:
    """A root with the experiment's file, and a folder of installed packages beside it."""

    root: Path
    packages: Path

    def dcpipe(self, *words: str, installed: bool = True) -> subprocess.CompletedProcess[str]:
        """A command line in the root."""
        search = f"{repository.ROOT / 'src'}:{self.packages}" if installed else str(repository.ROOT / "src")
        return repository.child(self.root, "-m", "dcpipe", *words, PYTHONPATH=search)

    def code(self, method: str) -> set[str]:
        """The keys of code identity in the card of a preset's set."""
        return keys(self.root / CARD.format(method))

    def stale(self) -> set[str]:
        """The sets that were made by other code than there is."""
        lines = self.dcpipe("status", "own.yaml", "--jobs").stdout.splitlines()
        return {
            line.split()[1].rstrip(":")
            for line in lines
            if line.startswith("stale ") and line.split()[1].startswith("distill_")
        }

    def edit(self, module: str, old: str, new: str) -> None:
        """Replace a text of the installed package."""
        path = self.packages / "soft_lab" / module
        assert path.read_text().count(old) == 1
        path.write_text(path.read_text().replace(old, new))


def write_package(folder: Path) -> None:
    """The labels of the repository's own test as modules of a package, one of which imports another relatively."""
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text('"""Labels of a lab."""\n')
    (folder / "linear_network.py").write_text(NAME)
    (folder / "linear.py").write_text(LAYERS)
    (folder / "rounding.py").write_text("SPARE = 0.0\n")
    for module in ("smoothed_config.py", "smoothed.py"):
        text = (LABELS / module).read_text().replace("dcpipe.distillation.labels.smoothed", "soft_lab.smoothed")
        text = text.replace("from torch import Tensor\n", "from torch import Tensor\n\nfrom .rounding import SPARE\n")
        text = text.replace("classes, smoothing\n", "classes, smoothing + SPARE\n")
        (folder / module).write_text(text)


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The package installed by pip, and the experiment run. The last tests edit the package."""
    place = tmp_path_factory.mktemp("lab")
    (place / "root").mkdir()
    write_package(place / "source/soft_lab")
    (place / "source/pyproject.toml").write_text(PYPROJECT)
    words = ("install", "-q", "--no-index", "--no-deps", "--no-build-isolation", "--target", str(place / "packages"))
    pip = repository.child(place, "-m", "pip", *words, str(place / "source"))
    assert pip.returncode == 0, pip.stderr
    lab = Lab(repository.copy_params(place / "root"), place / "packages")
    (lab.root / "own.yaml").write_text(EXPERIMENT)
    exported = lab.dcpipe("graph", "export")
    assert exported.returncode == 0, exported.stderr
    done = lab.dcpipe("run", "own.yaml", "--unrecorded")
    assert done.returncode == 0, done.stderr
    return lab


def test_a_value_of_another_package_makes_a_set(lab: Lab) -> None:
    assert '"smoothed"' in lab.dcpipe("params", "show", "own.yaml").stdout
    assert "distill" in lab.dcpipe("plan", "own.yaml").stdout
    labels = load_file(lab.root / CARD.format("own-smoothed").replace("card.json", "synthetic.safetensors"))["logits"]
    torch.testing.assert_close(labels.softmax(dim=1), 0.9 * torch.eye(10) + 0.01)


def test_its_modules_count_where_they_are_reached(lab: Lab) -> None:
    mine = {"modules.packages.soft_lab.smoothed", "modules.packages.soft_lab.rounding"}
    assert mine <= lab.code("own-smoothed")
    assert not [key for key in lab.code("own-smoothed") if key.endswith("_config")]
    assert not [key for key in lab.code("mtt") if "packages" in key]
    assert set(read_yaml(lab.root / "code_identity.yaml")["modules"]["packages"]["soft_lab"]) >= {
        "smoothed",
        "rounding",
    }
    assert "packages" not in read_yaml(repository.ROOT / "code_identity.yaml")["modules"]


def test_a_network_of_another_package_scores_sets_and_counts(lab: Lab) -> None:
    cards = {
        path.parts[-2]: keys(path) for path in lab.root.glob("artifacts/scores/tiny/mtt/ipc1/set0/digits/*/card.json")
    }
    assert set(cards) == {"native", "linear"}
    assert cards["linear"] >= LINEAR
    assert "modules.models.convnet" not in cards["linear"]
    assert not LINEAR & cards["native"]
    assert not LINEAR & lab.code("own-smoothed")


def test_without_the_package_one_line_names_what_is_unknown(lab: Lab) -> None:
    (lab.root / "labels.yaml").write_text(EXPERIMENT.replace("[native, linear]", "[native]"))
    for file, unknown in (
        ("labels.yaml", 'labels.yaml: presets.own-smoothed.outer.labels.kind: there is no "smoothed"; choose one of'),
        ("own.yaml", "own.yaml: runs.0.networks: network: there is no network 'linear'; known networks: convnet"),
    ):
        done = lab.dcpipe("plan", file, installed=False)
        assert done.returncode == 2
        assert done.stderr.startswith(f"dcpipe: {unknown}")
        assert done.stderr.count("\n") == 1


def test_only_an_edit_of_what_is_reached_makes_its_set_stale(lab: Lab) -> None:
    assert lab.stale() == set()
    lab.edit("smoothed_config.py", "probability that all classes share evenly", "a share")
    assert lab.stale() == set()
    lab.edit("rounding.py", "SPARE = 0.0", "SPARE = 0.0 * 1")
    assert lab.stale() == {"distill_tiny_own-smoothed_ipc1_set0"}
