"""Networks of torchvision and timm: the library's own function, and names and sizes that are checked."""

import pytest
import torch
from torch import nn

from dcpipe.errors import UserError
from dcpipe.models.build import build
from dcpipe.params.network_name import parse
from dcpipe.random import Stream

X = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_it_is_the_librarys_own_function_of_the_same_parameters(name: str) -> None:
    models = pytest.importorskip("torchvision.models")
    torch.manual_seed(0)
    theirs = models.get_model(name, weights=None, num_classes=7)
    for layer in theirs.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats, layer.running_mean, layer.running_var = False, None, None
    ours = build(f"torchvision-{name.replace('_', '-')}", channels=3, image_size=32, classes=7)
    assert ours.has_running_statistics
    theta = ours.flatten(dict(theirs.named_parameters(prefix="model")))
    torch.testing.assert_close(ours(theta, X), theirs.eval()(X))


def test_features_are_what_the_last_layer_classifies() -> None:
    ours = build("torchvision-resnet18", channels=3, image_size=32, classes=7)
    theta = ours.initial_parameters(Stream.root(0, "test").generator())
    head = {name: value for name, value in ours.unflatten(theta).items() if name.startswith("model.fc")}
    features = ours.features(theta, X)
    torch.testing.assert_close(features @ head["model.fc.weight"].T + head["model.fc.bias"], ours(theta, X))


def test_grey_images_are_three_equal_channels() -> None:
    ours = build("torchvision-resnet18", channels=1, image_size=32, classes=7)
    theta = ours.initial_parameters(Stream.root(0, "test").generator())
    assert torch.equal(ours(theta, X[:, :1]), ours(theta, X[:, :1].repeat(1, 3, 1, 1)))


def test_small_images_are_refused_where_a_network_cannot_take_them() -> None:
    with pytest.raises(UserError, match="torchvision-alexnet cannot take images of 32x32 pixels"):
        build("torchvision-alexnet", channels=3, image_size=32, classes=10)


def test_other_spellings_and_misspelt_names_are_answered() -> None:
    with pytest.raises(UserError, match="write 'torchvision-resnet18'"):
        parse("torchvision:resnet18")
    with pytest.raises(UserError, match="did you mean 'torchvision-resnet18'"):
        parse("torchvision-resnet19")


def test_timm_is_asked_for_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    from dcpipe.models import timm_network

    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    timm_network._names.cache_clear()
    with pytest.raises(UserError, match=r"timm is not installed; pip install 'dcpipe\[timm\]'"):
        parse("timm-resnet10t")


def test_a_network_of_timm_is_its_own_function() -> None:
    timm = pytest.importorskip("timm")
    theirs = timm.create_model("resnet10t", pretrained=False, num_classes=7)
    ours = build("timm-resnet10t", channels=3, image_size=32, classes=7)
    theta = ours.flatten(dict(theirs.named_parameters(prefix="model")))
    statistics = {f"model.{name}": value for name, value in theirs.named_buffers() if "num_batches" not in name}
    torch.testing.assert_close(ours(theta, X, statistics), theirs.eval()(X))
