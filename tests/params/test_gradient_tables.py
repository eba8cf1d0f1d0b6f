"""Every cell that the papers print for gradients, distributions and features is a preset, set as they say."""

from itertools import product

import pytest

import repository
from dcpipe.distillation.distances.magnitude_config import Magnitude
from dcpipe.distillation.levels.levels_config import MultiLevel
from dcpipe.distillation.matching.gradient_config import Gradient
from dcpipe.distillation.training.training_config import FixedEpochs, NoTraining, Schedule, UntilOverfit
from dcpipe.distillation.updates.updates_config import FixedUpdates
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.report.published import published
from dcpipe.workflow.graph import Graph

GRAPH = Graph(repository.ROOT)
DATASETS = ("mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "tiny-imagenet")
LOOPS = {1: (1, None), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}  # ipc -> T, Z
TABLE_2 = ("euclidean", "squared", "mean-squared", "angle-squared", "angle-mean-squared")
ABLATIONS = ("gm-inter", "gm-interleaved", *(f"gm-m-{name}" for name in TABLE_2))
EFFECTIVE = ("gm-m", "gm-md", "gm-mdo", "gm-mda")
METHODS = ("dc", "dsa", *EFFECTIVE, *ABLATIONS, "dm", "cafe", "cafe-dsa")
CELLS = [cell for cell in product(METHODS, DATASETS, (1, 10, 50)) if published(cell[1], cell[0], cell[2])]


def _method(name: str, dataset: str, ipc: int) -> Method:
    job = GRAPH.job("distill", dataset=dataset, method=name, ipc=ipc, set=0)
    found = job.sections["method"]
    assert isinstance(found, Method)
    assert not [path for path in job.inputs if path == "trajectories"], "no experts are needed"
    return found


def test_the_tables_are_there() -> None:
    assert len(CELLS) == 60 + 16 + 5 + 27  # tables 3, 1 and 2, and those of DSA, DM and CAFE
    assert {cell[0] for cell in CELLS} == set(METHODS)


@pytest.mark.parametrize(("name", "dataset", "ipc"), CELLS)
def test_a_printed_cell_can_be_planned_and_has_the_published_episode(name: str, dataset: str, ipc: int) -> None:
    found = _method(name, dataset, ipc)
    assert found.outer is not None
    matching = found.matching
    if isinstance(matching, Gradient):
        assert found.outer.iterations == 1000
        assert found.outer.images.optimiser.learning_rate == 0.1
        assert found.outer.images.initial == ("real" if name == "dsa" else "noise")
        assert isinstance(matching.updates, FixedUpdates)
        updates, epochs = LOOPS[ipc]
        assert matching.updates.count == updates
        if epochs is None:
            assert isinstance(matching.training, NoTraining)
        elif name not in ("gm-mdo", "gm-mda"):
            assert matching.training == FixedEpochs(kind="epochs", count=epochs, batch=256)
    assert matching.real_batch == 256  # type: ignore[union-attr]


@pytest.mark.parametrize("ipc", LOOPS)
def test_loops_follow_the_table_of_dc_for_all_its_numbers_of_images(ipc: int) -> None:
    matching = _method("dc", "cifar10", ipc).matching
    assert isinstance(matching, Gradient)
    epochs = matching.training.count if isinstance(matching.training, FixedEpochs) else None
    assert isinstance(matching.updates, FixedUpdates)
    assert (matching.updates.count, epochs) == LOOPS[ipc]


@pytest.mark.parametrize("name", ["dsa", "dm", "cafe-dsa"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_digits_and_house_numbers_are_not_mirrored_and_all_else_is(name: str, dataset: str) -> None:
    families = _method(name, dataset, 10).matching.augmentation.split("_")  # type: ignore[union-attr]
    wanted = {"color", "crop", "cutout", "scale", "rotate", *(() if dataset in ("mnist", "svhn") else ("flip",))}
    assert set(families) == wanted
    for protocol in ("dsa", "mtt"):
        what = GRAPH.library.evaluation(protocol, dataset, 10)[1]
        assert set(what.augmentation.split("_")) == wanted


@pytest.mark.parametrize("name", ["dc", *EFFECTIVE, *ABLATIONS, "gm-o", "cafe"])
def test_the_others_are_not_augmented(name: str) -> None:
    assert _method(name, "cifar10", 10).matching.augmentation == "none"  # type: ignore[union-attr]


@pytest.mark.parametrize("name", EFFECTIVE)
def test_m_d_o_and_a_are_what_each_adds(name: str) -> None:
    for dataset, ipc in product(DATASETS[:5], (10, 50)):
        matching = _method(name, dataset, ipc).matching
        assert isinstance(matching, Gradient)
        assert matching.levels == MultiLevel(kind="multi-level", weight="classes")
        assert matching.distance.angle == 1.0
        if name == "gm-m":
            assert matching.distance.magnitude.kind == "none"
        else:
            weight = 0.1 if (dataset, ipc) == ("cifar10", 50) else 1.0  # footnote 5
            assert matching.distance.magnitude == Magnitude(kind="euclidean", weight=weight)
        assert isinstance(matching.training, UntilOverfit) == (name == "gm-mdo")
        assert isinstance(matching.training, Schedule) == (name == "gm-mda")


@pytest.mark.parametrize("name", ["gm-mdo", "gm-mda", "gm-o"])
@pytest.mark.parametrize("dataset", DATASETS)
def test_cells_without_a_number_are_refused_because_nothing_would_be_trained(name: str, dataset: str) -> None:
    with pytest.raises(UserError) as caught:
        _method(name, dataset, 1)
    assert str(caught.value) == (
        f"params/methods/{name}.yaml: matching.training.kind: has no effect with one update a network; "
        "write none, or raise updates.count"
    )


@pytest.mark.parametrize(("ipc", "rate"), [(1, 1.0), (50, 1.0), (100, 10.0), (1000, 10.0)])
def test_dm_learns_faster_from_a_hundred_images_on_and_on_cifar10_alone(ipc: int, rate: float) -> None:
    found = {dataset: _method("dm", dataset, ipc).outer for dataset in ("cifar10", "svhn")}
    assert {dataset: outer.images.optimiser.learning_rate for dataset, outer in found.items() if outer} == {
        "cifar10": rate,
        "svhn": 1.0,
    }


@pytest.mark.parametrize(
    ("protocol", "epochs", "networks", "rate"), [("dc", 300, 20, 0.01), ("dsa", 1000, 20, 0.01), ("gm", 300, 50, 0.01)]
)
def test_the_published_protocols(protocol: str, epochs: int, networks: int, rate: float) -> None:
    what = GRAPH.library.evaluation(protocol, "cifar10", 10)[1]
    assert (what.epochs, what.networks, what.batch, what.momentum) == (epochs, networks, 256, 0.9)
    assert what.learning_rate.kind == "fixed"
    assert what.learning_rate.value == rate
    assert (what.weight_decay, what.selection) == (5e-4, "last")
    assert (what.augmentation == "none") == (protocol != "dsa")
