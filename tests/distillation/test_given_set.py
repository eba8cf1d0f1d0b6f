"""A set that is given enters as it is, or is refused with a reason."""

import hashlib
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

import repository
from dcpipe.distillation import synthetic_set
from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import artifact
from dcpipe.workflow.graph import Graph


def give(root: Path, tensors: dict[str, Tensor], *, step_size: float = 0.01) -> None:
    """Put a file into the data root, and a preset `theirs` that names it into params."""
    path = root / "data" / "theirs.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file(tensors, path)
    (root / "local.yaml").write_text("data_root: data\n")
    digest = f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    tree = {"base": "random", "matching": {"selection": {"kind": "given", "name": "theirs", "digest": digest}}}
    tree["matching"]["step_size"] = step_size
    (root / "params/methods/theirs.yaml").write_text(yaml.safe_dump(tree))


def enter(root: Path) -> Path:
    """Run the job of the set, and what it needs. Returns the artifact."""
    repository.make_inputs(root, "distill", dataset="tiny", method="theirs", ipc=1, set=0)
    return root / repository.make(root, "distill", dataset="tiny", method="theirs", ipc=1, set=0).outputs["synthetic"]


def like_tiny() -> dict[str, Tensor]:
    return {
        "images": torch.randn(10, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        "labels": torch.arange(10),
        "step_size": torch.tensor(0.02, dtype=torch.float64),
    }


def test_a_set_made_here_and_given_back_is_the_same_bytes(tiny: Path) -> None:
    made = tiny / "artifacts/synthetic/tiny/mtt/ipc1/set0/synthetic.safetensors"
    give(tiny, synthetic_set_tensors(made), step_size=float(synthetic_set.load(made).step_size))
    entered = enter(tiny)
    assert entered.read_bytes() == made.read_bytes()
    assert artifact.read_card(entered)["facts"]["given"]["file"] == "theirs.safetensors"


def synthetic_set_tensors(path: Path) -> dict[str, Tensor]:
    one = synthetic_set.load(path)
    return {"images": one.images_NCHW, "labels": one.labels, "step_size": one.step_size}


def test_the_step_size_is_the_presets_and_soft_labels_stay(tiny: Path) -> None:
    tensors = like_tiny()
    logits = tensors.pop("labels")[:, None] * torch.linspace(0, 1, 10)
    give(tiny, {**tensors, "logits": logits}, step_size=0.5)
    entered = synthetic_set.load(enter(tiny))
    assert entered.is_soft
    assert torch.equal(entered.labels, logits)
    assert float(entered.step_size) == 0.5


def test_a_file_needs_no_step_size_and_may_have_small_labels(tiny: Path) -> None:
    tensors = like_tiny()
    del tensors["step_size"]
    give(tiny, {**tensors, "labels": tensors["labels"].to(torch.int32)}, step_size=0.5)
    entered = synthetic_set.load(enter(tiny))
    assert torch.equal(entered.images_NCHW, tensors["images"])
    assert torch.equal(entered.labels, torch.arange(10))
    assert float(entered.step_size) == 0.5


@pytest.mark.parametrize("lacking", ["images", "labels"])
def test_a_file_that_lacks_something_is_refused_with_what_it_needs(tiny: Path, lacking: str) -> None:
    tensors = like_tiny()
    del tensors[lacking]
    give(tiny, tensors)
    needs = "put a safetensors file with images, and labels or logits, there"
    with pytest.raises(CorruptArtifactError, match=rf"is not a synthetic set \(it has no {lacking}\); {needs}"):
        enter(tiny)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"images": torch.zeros(10, 1, 8, 8, dtype=torch.uint8)}, "its images are uint8 numbers; write floating ones"),
        ({"images": torch.zeros(10, 3, 8, 8)}, "its images are 3 x 8 x 8; the dataset's are 1 x 8 x 8"),
        ({"images": torch.full((10, 1, 8, 8), torch.nan)}, "some pixels are not finite"),
        ({"labels": torch.arange(10) + 1}, "its labels go from 1 to 10"),
        ({"logits": torch.zeros(10, 7)}, "its logits are 10 x 7 or not finite; the dataset has 10 classes"),
    ],
)
def test_a_set_that_does_not_fit_is_refused(tiny: Path, changes: dict[str, Tensor], said: str) -> None:
    give(tiny, {**like_tiny(), **changes})
    with pytest.raises(UserError, match=said):
        enter(tiny)


def test_another_file_under_the_name_is_refused(tiny: Path) -> None:
    give(tiny, like_tiny())
    save_file({**like_tiny(), "images": torch.ones(10, 1, 8, 8)}, tiny / "data/theirs.safetensors")
    with pytest.raises(UserError, match="has the digest sha256:"):
        enter(tiny)
    (tiny / "data/theirs.safetensors").unlink()
    with pytest.raises(UserError, match=r"theirs\.safetensors: this file does not exist"):
        enter(tiny)


def test_its_file_is_part_of_what_identifies_the_job(tiny: Path) -> None:
    give(tiny, like_tiny())
    (values,) = [
        values
        for file, values in Graph(tiny)
        .make_job("distill", dataset="tiny", method="theirs", ipc=1, set=0)
        .params.items()
        if file == "params/methods/theirs.yaml"
    ]
    assert (
        values["matching.selection.digest"]
        == read_yaml(tiny / "params/methods/theirs.yaml")["matching"]["selection"]["digest"]
    )
