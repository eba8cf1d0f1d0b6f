"""Networks as functions of one vector: the same numbers as the ordinary module, differentiable, stateless."""

import subprocess
import sys

import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call, grad, vjp, vmap

from dcpipe.errors import UserError
from dcpipe.models.build import build
from dcpipe.models.flat import FlatModel, updated_statistics
from dcpipe.params.network_name import parse
from dcpipe.random import Stream

EIGHT = ["convnet2-w64", "convnet2-w8-batch", "convnet1-w8-layer-swish-maxpool", "convnet2-w8-group", "mlp"]


def digits(start: int = 0, count: int = 12) -> tuple[Tensor, Tensor]:
    """Real digits: N 1 8 8 float32 in [0, 1], and their N labels."""
    data = load_digits()
    part = slice(start, start + count)
    x_NCHW = torch.from_numpy(data.images[part] / 16).float().unsqueeze(1)
    return x_NCHW, torch.from_numpy(data.target[part])


def flat(name: str, image_size: int = 8, classes: int = 10) -> FlatModel:
    return build(name, channels=1, image_size=image_size, classes=classes)


def ordinary(name: str, image_size: int = 8) -> nn.Module:
    """The same network as a plain module with values, initialised by PyTorch from its global generator."""
    return parse(name).build(channels=1, image_size=image_size, classes=10)


def start(network: FlatModel, dtype: torch.dtype = torch.float32) -> Tensor:
    return network.initial_parameters(Stream.root(0, "test").generator(), dtype)


@pytest.mark.parametrize(("name", "size"), [*((name, 8) for name in EIGHT), ("lenet", 28), ("resnet18-bn", 32)])
def test_initial_parameters_are_those_pytorch_itself_would_draw(name: str, size: int) -> None:
    network = flat(name, size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        module = ordinary(name, size)
    theirs_P = network.flatten(list(module.parameters()))
    assert torch.equal(network.initial_parameters(torch.Generator().manual_seed(7)), theirs_P)


def test_initial_values_are_uniform_within_one_over_root_fan_in() -> None:
    network = flat("convnet3", 28)
    theta_P = start(network)
    fan_ins = {"blocks.0.conv": 9, "blocks.1.conv": 128 * 9, "blocks.2.conv": 128 * 9, "head": 2048}
    for spec, values in zip(network.layout, network.unflatten(theta_P).values(), strict=True):
        if ".norm." in spec.name:
            assert torch.equal(values, torch.full(spec.shape, float(spec.name.endswith("weight"))))
            continue
        bound = fan_ins[spec.name.rpartition(".")[0]] ** -0.5
        ranks = ((values.flatten().sort().values / bound) + 1) / 2  # uniform on [0, 1] if the law holds
        assert ranks[0] >= -1e-6
        assert ranks[-1] <= 1 + 1e-6
        distance = (ranks - (torch.arange(spec.size) + 0.5) / spec.size).abs().max()
        assert distance < 1.95 / spec.size**0.5  # Kolmogorov-Smirnov, one in a thousand


def test_a_generator_gives_the_same_network_in_float64() -> None:
    network = flat("convnet2-w64")
    assert torch.equal(start(network, torch.float64), start(network).double())


def test_building_draws_nothing_and_allocates_nothing() -> None:
    before = torch.get_rng_state()
    network = build("resnet18", channels=3, image_size=32, classes=10)
    network.initial_parameters(Stream.root(0, "test").generator())
    assert torch.equal(torch.get_rng_state(), before)
    assert all(parameter.is_meta for parameter in network._module.parameters())


@pytest.mark.parametrize(("name", "size"), [*((name, 8) for name in EIGHT), ("lenet", 28), ("vgg11-bn", 32)])
def test_a_call_is_the_ordinary_module_bit_for_bit(name: str, size: int) -> None:
    network, module = flat(name, size), ordinary(name, size)
    theta_P = start(network)
    module.load_state_dict(network.unflatten(theta_P))
    x_NCHW = nn.functional.interpolate(digits()[0], size=(size, size))
    assert torch.equal(network(theta_P, x_NCHW), module(x_NCHW))
    assert torch.equal(network.features(theta_P, x_NCHW), module.features(x_NCHW))
    assert torch.equal(module.head(network.features(theta_P, x_NCHW)), network(theta_P, x_NCHW))


def test_the_layout_tiles_the_vector_in_the_order_of_the_parameters() -> None:
    network = flat("convnet2-w64")
    assert [spec.name for spec in network.layout] == [name for name, _ in network._module.named_parameters()]
    assert network.layout[0].offset == 0
    ends = [spec.offset + spec.size for spec in network.layout]
    assert [spec.offset for spec in network.layout[1:]] == ends[:-1]
    assert ends[-1] == network.num_parameters == 40_394


def test_flatten_undoes_unflatten_which_only_views() -> None:
    network = flat("convnet2-w64")
    theta_P = start(network)
    tensors = network.unflatten(theta_P)
    assert torch.equal(network.flatten(tensors), theta_P)
    assert torch.equal(network.flatten(list(tensors.values())), theta_P)
    assert torch.equal(network.flatten(dict(reversed(tensors.items()))), theta_P)
    tensors["head.bias"].fill_(3)
    assert torch.equal(theta_P[-10:], torch.full((10,), 3.0))


def test_parameters_of_another_network_are_refused_by_tensor() -> None:
    network = flat("convnet2-w64")
    tensors = network.unflatten(start(network))
    wider = flat("convnet2-w8")
    with pytest.raises(UserError, match=r"blocks\.0\.conv\.weight has shape"):
        network.flatten(list(wider.unflatten(start(wider)).values()))
    with pytest.raises(UserError, match="9 tensors; this network has 10"):
        network.flatten(list(tensors.values())[:-1])
    with pytest.raises(UserError, match=r"head\.bias is missing"):
        network.flatten({name: value for name, value in tensors.items() if name != "head.bias"})
    with pytest.raises(UserError, match="stray is not a parameter"):
        network.flatten({**tensors, "stray": torch.zeros(1)})
    with pytest.raises(ValueError, match="this network 40394 parameters"):
        network.unflatten(torch.zeros(39))


@pytest.mark.parametrize("name", ["convnet2-w4-swish", "convnet2-w4-batch-swish", "mlp"])
def test_first_and_second_derivatives_are_finite_differences(name: str) -> None:
    network = flat(name, classes=3)
    theta_P = start(network, torch.float64).requires_grad_()
    x_NCHW = digits(count=3)[0].double().requires_grad_()
    assert torch.autograd.gradcheck(network, (theta_P, x_NCHW), fast_mode=True)
    if name != "mlp":  # its ReLU has no second derivative to difference
        assert torch.autograd.gradgradcheck(network, (theta_P, x_NCHW), fast_mode=True)


def test_the_gradient_is_one_vector_equal_to_the_ordinary_gradients() -> None:
    network, module = flat("convnet2-w64"), ordinary("convnet2-w64")
    theta_P = start(network).requires_grad_()
    module.load_state_dict(network.unflatten(theta_P))
    x_NCHW, y_N = digits()
    (ours_P,) = torch.autograd.grad(nn.functional.cross_entropy(network(theta_P, x_NCHW), y_N), theta_P)
    theirs = torch.autograd.grad(nn.functional.cross_entropy(module(x_NCHW), y_N), list(module.parameters()))
    assert ours_P.shape == (40_394,)
    assert torch.equal(ours_P, network.flatten(theirs))


def test_the_functional_gradient_is_the_recorded_one() -> None:
    network = flat("convnet2-w64")
    theta_P = start(network, torch.float64).requires_grad_()
    x_NCHW, y_N = digits()[0].double(), digits()[1]

    def loss(theta_P: Tensor) -> Tensor:
        return nn.functional.cross_entropy(network(theta_P, x_NCHW), y_N)

    (recorded_P,) = torch.autograd.grad(loss(theta_P), theta_P)
    torch.testing.assert_close(grad(loss)(theta_P.detach()), recorded_P, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("name", ["convnet2-w8", "convnet2-w8-batch", "convnet2-w8-maxpool"])
def test_vmap_over_parameters_is_the_loop_over_networks(name: str) -> None:
    network = flat(name)
    generator = Stream.root(0, "test").generator()
    thetas = torch.stack([network.initial_parameters(generator, torch.float64) for _ in range(3)])
    x_NCHW = digits()[0].double()
    together = vmap(network, in_dims=(0, None))(thetas, x_NCHW)
    torch.testing.assert_close(together, torch.stack([network(theta_P, x_NCHW) for theta_P in thetas]))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnet2-w8", "convnet2-w8-batch"])
def test_a_step_and_its_adjoint_compile_into_one_graph(name: str) -> None:
    network = flat(name)
    theta_P = start(network)
    x_NCHW, y_N = digits()

    def adjoint(theta_P: Tensor, x_NCHW: Tensor) -> tuple[Tensor, Tensor]:
        def gradient(theta_P: Tensor, x_NCHW: Tensor) -> Tensor:
            return grad(lambda theta: nn.functional.cross_entropy(network(theta, x_NCHW), y_N))(theta_P)

        gradient_P, back = vjp(gradient, theta_P, x_NCHW)
        return back(gradient_P)  # type: ignore[no-any-return]

    compiled = torch.compile(adjoint, fullgraph=True, backend="aot_eager")
    for ours, eager in zip(compiled(theta_P, x_NCHW), adjoint(theta_P, x_NCHW), strict=True):
        torch.testing.assert_close(ours, eager)


def test_theta_decides_device_and_dtype() -> None:
    network = flat("convnet2-w64")
    x_NCHW = digits()[0]
    assert network(start(network, torch.float64), x_NCHW.double()).dtype == torch.float64
    assert network(start(network).to("meta"), x_NCHW.to("meta")).is_meta


def test_instance_norm_trains_as_it_evaluates_and_keeps_images_apart() -> None:
    network, module = flat("convnet2-w64"), ordinary("convnet2-w64")
    theta_P = start(network)
    module.load_state_dict(network.unflatten(theta_P))
    x_NCHW = digits()[0]
    assert torch.equal(module.train()(x_NCHW), module.eval()(x_NCHW))
    assert torch.equal(network(theta_P, x_NCHW, {}), network(theta_P, x_NCHW))
    torch.testing.assert_close(network(theta_P, x_NCHW)[:1], network(theta_P, x_NCHW[:1]))
    assert not network.has_running_statistics
    assert network.forward_with_statistics(theta_P, x_NCHW)[1] == network.initial_statistics() == {}


def tracking(name: str, network: FlatModel, theta_P: Tensor) -> nn.Module:
    """The ordinary module with PyTorch's own running statistics switched on."""
    module = ordinary(name).to(theta_P.dtype)
    module.load_state_dict(network.unflatten(theta_P))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.track_running_stats = True
            layer.running_mean = torch.zeros(layer.num_features, dtype=theta_P.dtype)
            layer.running_var = torch.ones(layer.num_features, dtype=theta_P.dtype)
    return module.train()


def test_running_averages_of_batch_statistics_are_those_pytorch_keeps() -> None:
    network = flat("convnet2-w8-batch")
    theta_P = start(network, torch.float64)
    module = tracking("convnet2-w8-batch", network, theta_P)
    running = network.initial_statistics(torch.float64)
    for step in range(3):
        x_NCHW = digits(12 * step)[0].double()
        module(x_NCHW)
        logits_NK, seen = network.forward_with_statistics(theta_P, x_NCHW)
        assert torch.equal(logits_NK, network(theta_P, x_NCHW))
        running = updated_statistics(running, seen)
    theirs = dict(module.named_buffers())
    torch.testing.assert_close(running, {key: theirs[key] for key in running}, rtol=1e-12, atol=1e-12)

    x_NCHW = digits(36)[0].double()
    torch.testing.assert_close(network(theta_P, x_NCHW, running), module.eval()(x_NCHW))
    alone = network(theta_P, x_NCHW[:1], running)
    torch.testing.assert_close(alone, network(theta_P, x_NCHW, running)[:1])


def test_batch_norm_without_statistics_uses_the_batch_and_keeps_nothing() -> None:
    network = flat("convnet2-w8-batch")
    theta_P = start(network, torch.float64)
    x_NCHW = digits()[0].double()
    first = network(theta_P, x_NCHW)
    given = network.forward_with_statistics(theta_P, x_NCHW)[1]
    network(theta_P, digits(50)[0].double(), given)
    assert torch.equal(network(theta_P, x_NCHW), first)
    assert not torch.allclose(network(theta_P, x_NCHW[:6]), first[:6])
    assert list(network._module.buffers()) == []


def test_statistics_of_another_network_are_refused() -> None:
    network = flat("convnet2-w8-batch")
    theta_P, x_NCHW = start(network), digits()[0]
    for wrong in ({}, flat("convnet1-w8-batch").initial_statistics()):
        with pytest.raises(ValueError, match="not those of this network"):
            network(theta_P, x_NCHW, wrong)


def test_statistics_are_one_vector_and_back() -> None:
    network = flat("convnet2-w8-batch")
    seen = network.forward_with_statistics(start(network), digits()[0])[1]
    packed_S = network.pack(seen)
    assert packed_S.shape == (2 * 2 * 8,)
    torch.testing.assert_close(network.unpack(packed_S), seen, rtol=0, atol=0)
    with pytest.raises(ValueError, match="not those of this network"):
        network.unpack(packed_S[1:])
    without = flat("convnet2-w8")
    assert without.unpack(without.pack({})) == {}


def test_modules_that_cannot_be_pure_functions_are_refused() -> None:
    with torch.device("meta"):
        tracked, unknown = nn.Sequential(nn.BatchNorm2d(3)), nn.Sequential(nn.PReLU())
    with pytest.raises(ValueError, match=r"0\.running_mean"):
        FlatModel(tracked)
    with pytest.raises(ValueError, match="PReLU"):
        FlatModel(unknown)


def test_a_functional_call_by_hand_agrees() -> None:
    network, module = flat("convnet2-w8"), ordinary("convnet2-w8")
    theta_P, x_NCHW = start(network), digits()[0]
    by_hand = functional_call(module, network.unflatten(theta_P), (x_NCHW,))
    assert torch.equal(network(theta_P, x_NCHW), by_hand)


def test_building_a_network_loads_only_its_own_family() -> None:
    code = (
        "import sys; from dcpipe.models.build import build;"
        "build('mlp', channels=1, image_size=8, classes=2);"
        "sys.exit('dcpipe.models.convnet' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_unknown_network_is_refused_before_anything_is_built() -> None:
    with pytest.raises(UserError, match="did you mean 'convnet3'"):
        build("convnt3", channels=3, image_size=32, classes=10)
