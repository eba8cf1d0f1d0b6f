"""Names of networks: one spelling each, and answers that help where a name is wrong."""

import itertools
import subprocess
import sys
from typing import get_args

import pytest
from torch import nn

from dcpipe.errors import UserError
from dcpipe.models.build import build
from dcpipe.models.classic_network import ClassicName
from dcpipe.models.convnet_network import Activation, ConvNetName, Norm, Pooling
from dcpipe.params.network_name import FixedNetwork, Network, module_of, parse
from dcpipe.provenance import source_modules

CLASSIC = ("mlp", "lenet", "alexnet", "alexnet-bn", "vgg11", "vgg11-bn", "vgg13", "vgg16-bn", "vgg19")
CLASSIC += ("resnet18", "resnet18-bn", "resnet18-ap", "resnet18-ap-bn")


def test_every_convnet_survives_being_spelled_and_parsed() -> None:
    axes = (range(1, 6), (32, 64, 128, 256), get_args(Norm), get_args(Activation), get_args(Pooling))
    networks = [ConvNetName(*values) for values in itertools.product(*axes)]
    assert all(parse(network.name) == network for network in networks)
    assert len({network.name for network in networks}) == len(networks) == 5 * 4 * 5 * 4 * 3


def test_the_papers_network_has_the_shortest_name() -> None:
    papers = ConvNetName(depth=3, width=128, norm="instance", activation="relu", pooling="avgpool")
    assert parse("convnet3") == papers
    assert papers.name == "convnet3"


def test_classic_names_stand_for_themselves() -> None:
    assert [parse(name) for name in CLASSIC] == [ClassicName(name) for name in CLASSIC]
    assert {module_of(name) for name in CLASSIC} == {"dcpipe.models.classic_network"}


def test_the_code_of_a_network_starts_at_its_family_and_holds_its_layers() -> None:
    assert module_of("convnet4-w64-batch-swish-maxpool") == "dcpipe.models.convnet_network"
    for name, family in (("convnet3", "convnet"), ("resnet18-ap", "classic")):
        reached = source_modules.reached_modules([module_of(name)])
        assert {f"dcpipe.models.{family}_network", f"dcpipe.models.{family}"} <= set(reached)
        assert not {"dcpipe.models.classic", "dcpipe.models.convnet"} - {f"dcpipe.models.{family}"} & set(reached)


SECOND_SPELLINGS = {
    "convnet3-w128": "convnet3",
    "convnet3-instance-relu-avgpool": "convnet3",
    "convnet3-batch-w64": "convnet3-w64-batch",
    "convnet03": "convnet3",
    "convnet3-w064": "convnet3-w64",
    "ConvNet3-W64": "convnet3-w64",
    "ResNet18-BN": "resnet18-bn",
}
MISSPELT = {
    "convet3": "convnet3",
    "convnet3-bacth": "convnet3-batch",
    "convnet4-w64-leakyrely": "convnet4-w64-leakyrelu",
    "convnet3-w128-avgpol": "convnet3",
    "resnet19": "resnet18",
    "vgg-11": "vgg11",
}
NO_NETWORK = ("", "convnet", "convnet3-", "convnet3-w", "convnet-3", "resnet18-bn-ap", "lstm", "convnet100")
IMPOSSIBLE = ("convnet0", "convnet3-w0", "convnet3-w30-group", "convnet3-batch-layer")


def test_a_second_spelling_is_refused_with_the_first(subtests: pytest.Subtests) -> None:
    for written, canonical in SECOND_SPELLINGS.items():
        with subtests.test(written=written):
            with pytest.raises(UserError) as error:
                parse(written)
            assert error.value.remedy == f"write {canonical!r}"


def test_an_unknown_name_is_refused_with_the_nearest_and_all_others(subtests: pytest.Subtests) -> None:
    for written, meant in MISSPELT.items():
        with subtests.test(written=written):
            with pytest.raises(UserError) as error:
                parse(written)
            assert f"did you mean {meant!r}?" in error.value.problem
            assert parse(meant).name == meant
            assert all(name in str(error.value.remedy) for name in (*CLASSIC, "convnet", "leakyrelu", "nopool"))


def test_what_is_outside_the_language_is_refused(subtests: pytest.Subtests) -> None:
    for written in NO_NETWORK:
        with subtests.test(written=written), pytest.raises(UserError, match="there is no network"):
            parse(written)


def test_impossible_convnets_are_refused(subtests: pytest.Subtests) -> None:
    for written in IMPOSSIBLE:
        with subtests.test(written=written), pytest.raises(UserError, match=r"(?i)convnet"):
            parse(written)


def test_a_depth_is_refused_exactly_where_nothing_is_left_to_pool() -> None:
    for image_size, deepest in ((8, 3), (28, 5), (32, 5), (48, 5), (64, 6), (128, 7)):
        ConvNetName(deepest).refuse_size(image_size)
        ConvNetName(deepest + 1, pooling="nopool").refuse_size(image_size)
        with pytest.raises(UserError, match=f"{deepest + 1} times, {image_size}x{image_size}.* {deepest}"):
            ConvNetName(deepest + 1).refuse_size(image_size)


def test_planning_can_read_names_without_torch() -> None:
    code = "import sys; import dcpipe.params.network_name; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Rejected(FixedNetwork, is_base=True):
    """A family for a test, taken in and out by it."""

    names = ("mlp", "own")

    def build(self, *, channels: int, image_size: int, classes: int) -> nn.Module:
        return parse("convnet1-w4-batch").build(channels=channels, image_size=image_size, classes=classes)


def test_a_name_that_two_families_read_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Network.families, "rejected", Rejected)
    with pytest.raises(UserError, match=r"classic_network and .*: both families of networks accept the name 'mlp'"):
        parse("mlp")
    with pytest.raises(UserError, match=r"or mlp, lenet.*, or mlp, own"):
        parse("ow")


def test_a_family_that_denies_its_batch_norms_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(Network.families, "rejected", Rejected)
    with pytest.raises(TypeError, match=r"Rejected\.has_running_statistics is wrong for own"):
        build("own", channels=1, image_size=8, classes=10)


def test_a_family_in_a_module_that_identity_leaves_out_is_refused() -> None:
    with pytest.raises(TypeError, match="end the module's name in _network"):
        type("Hidden", (FixedNetwork,), {"__module__": "somewhere.hidden_config"})
