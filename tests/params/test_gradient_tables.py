"""Every cell that the papers print for gradients, distributions and features is a preset, set as they say."""

from itertools import product

import pytest

import repository
from dcpipe.distillation.distances.magnitude_config import Magnitude
from dcpipe.distillation.levels.levels_config import MultiLevel
from dcpipe.distillation.matching.gradient_config import GradientMatchingConfig
from dcpipe.distillation.training.training_config import EpochSchedule, FixedEpochs, NoTraining, UntilOverfit
from dcpipe.distillation.updates.updates_config import FixedUpdates
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.report.published import find_published_numbers
from dcpipe.workflow.graph import Graph

GRAPH = Graph(repository.ROOT)
DATASETS = ("mnist", "fashion-mnist", "svhn", "cifar10", "cifar100", "tiny-imagenet")
LOOPS = {1: (1, None), 10: (10, 50), 20: (20, 25), 30: (30, 20), 40: (40, 15), 50: (50, 10)}  # ipc -> T, Z
TABLE_2 = ("euclidean", "squared", "mean-squared", "angle-squared", "angle-mean-squared")
ABLATIONS = ("gm-inter", "gm-interleaved", *(f"gm-m-{name}" for name in TABLE_2))
EFFECTIVE = ("gm-m", "gm-md", "gm-mdo", "gm-mda")
METHODS = ("dc", "dsa", *EFFECTIVE, *ABLATIONS, "dm", "cafe", "cafe-dsa")
CELLS = [cell for cell in product(METHODS, DATASETS, (1, 10, 50)) if find_published_numbers(cell[1], cell[0], cell[2])]


def _method(name: str, dataset: str, ipc: int) -> Method:
    job = GRAPH.make_job("distill", dataset=dataset, method=name, ipc=ipc, set=0)
    found = job.sections["method"]
    assert isinstance(found, Method)
    assert not [path for path in job.inputs if path == "trajectories"], "no experts are needed"
    return found


def test_the_tables_are_there() -> None:
    assert (
        len(CELLS) == 60 + 16 + 5 + 27 + 2
    )  # GM's tables 3, 1 and 2, those of DSA, DM and CAFE, GM's text on Tiny ImageNet
    assert {cell[0] for cell in CELLS} == set(METHODS)


def test_a_printed_cell_can_be_planned_and_has_the_published_episode(subtests: pytest.Subtests) -> None:
    for name, dataset, ipc in CELLS:
        with subtests.test(name=name, dataset=dataset, ipc=ipc):
            _has_the_published_episode(_method(name, dataset, ipc), name, ipc)


def _has_the_published_episode(found: Method, name: str, ipc: int) -> None:
    assert found.outer is not None
    matching = found.matching
    if isinstance(matching, GradientMatchingConfig):
        assert found.outer.iterations == 1000
        assert found.outer.images.optimiser.learning_rate == 0.1
        assert found.outer.images.initial.kind == ("real" if name == "dsa" else "noise")
        assert isinstance(matching.updates, FixedUpdates)
        updates, epochs = LOOPS[ipc]
        assert matching.updates.count == updates
        if epochs is None:
            assert isinstance(matching.training, NoTraining)
        elif name not in ("gm-mdo", "gm-mda"):
            assert matching.training == FixedEpochs(kind="epochs", count=epochs, batch=256)
    assert matching.real_batch == 256  # type: ignore[union-attr]


def test_loops_follow_the_table_of_dc_for_all_its_numbers_of_images() -> None:
    found: dict[int, tuple[int, int | None]] = {}
    for ipc in LOOPS:
        matching = _method("dc", "cifar10", ipc).matching
        assert isinstance(matching, GradientMatchingConfig)
        assert isinstance(matching.updates, FixedUpdates)
        training = matching.training
        found[ipc] = matching.updates.count, training.count if isinstance(training, FixedEpochs) else None
    assert found == LOOPS


def test_digits_and_house_numbers_are_not_mirrored_and_all_else_is() -> None:
    wanted, found = {}, {}
    for dataset in DATASETS:
        flip = () if dataset in ("mnist", "svhn") else ("flip",)
        families = {"color", "crop", "cutout", "scale", "rotate", *flip}
        for name in ("dsa", "dm", "cafe-dsa"):
            augmentation = _method(name, dataset, 10).matching.augmentation  # type: ignore[union-attr]
            wanted[dataset, name], found[dataset, name] = families, set(augmentation.split("_"))
        for name in ("dsa", "mtt"):
            protocol = GRAPH.library.evaluation(name, dataset, 10)[1]
            wanted[dataset, f"protocol {name}"] = families
            found[dataset, f"protocol {name}"] = set(protocol.augmentation.dsa_families or ())
    assert found == wanted


def test_the_others_are_not_augmented() -> None:
    names = ("dc", *EFFECTIVE, *ABLATIONS, "gm-o", "cafe")
    found = {name: _method(name, "cifar10", 10).matching.augmentation for name in names}  # type: ignore[union-attr]
    assert found == dict.fromkeys(names, "none")


@pytest.mark.parametrize("name", EFFECTIVE)
def test_m_d_o_and_a_are_what_each_adds(name: str) -> None:
    for dataset, ipc in product(DATASETS[:5], (10, 50)):
        matching = _method(name, dataset, ipc).matching
        assert isinstance(matching, GradientMatchingConfig)
        assert matching.levels == MultiLevel(kind="multi-level", weight="classes")
        assert matching.distance.angle == 1.0
        if name == "gm-m":
            assert matching.distance.magnitude.kind == "none"
        else:
            weight = 0.1 if (dataset, ipc) == ("cifar10", 50) else 1.0  # footnote 5
            assert matching.distance.magnitude == Magnitude(kind="euclidean", weight=weight)
        assert isinstance(matching.training, UntilOverfit) == (name == "gm-mdo")
        assert isinstance(matching.training, EpochSchedule) == (name == "gm-mda")


def test_cells_without_a_number_are_refused_as_they_would_train_nothing(subtests: pytest.Subtests) -> None:
    for name, dataset in product(("gm-mdo", "gm-mda", "gm-o"), DATASETS):
        with subtests.test(name=name, dataset=dataset):
            with pytest.raises(UserError) as caught:
                _method(name, dataset, 1)
            assert str(caught.value) == (
                f"params/methods/{name}.yaml: matching.training.kind: has no effect with one update a network; "
                "write none, or raise updates.count"
            )


def test_dm_learns_faster_from_a_hundred_images_on_and_on_cifar10_alone() -> None:
    cells = list(product(("cifar10", "svhn"), (1, 50, 100, 1000)))
    found = {(dataset, ipc): _method("dm", dataset, ipc).outer for dataset, ipc in cells}
    assert {cell: outer.images.optimiser.learning_rate for cell, outer in found.items() if outer} == {
        (dataset, ipc): 10.0 if dataset == "cifar10" and ipc >= 100 else 1.0 for dataset, ipc in cells
    }


@pytest.mark.parametrize(
    ("protocol", "epochs", "networks", "rate"), [("dc", 300, 20, 0.01), ("dsa", 1000, 20, 0.01), ("gm", 300, 50, 0.01)]
)
def test_the_published_protocols(protocol: str, epochs: int, networks: int, rate: float) -> None:
    found = GRAPH.library.evaluation(protocol, "cifar10", 10)[1]
    assert (found.epochs, found.networks, found.batch, found.momentum) == (epochs, networks, 256, 0.9)
    assert found.learning_rate.kind == "fixed"
    assert found.learning_rate.value == rate
    assert (found.weight_decay, found.selection.kind) == (5e-4, "last")
    assert (found.augmentation.kind == "none") == (protocol != "dsa")
