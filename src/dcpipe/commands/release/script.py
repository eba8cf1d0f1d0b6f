"""The plain PyTorch script of a release: it trains on the set as the protocol says, and imports nothing of dcpipe.

It is written for the one set: its loop, its network, its augmentation and its transform, and nothing that this set
does not need. What cannot be written in a few lines is refused.
"""

from dcpipe.errors import UserError
from dcpipe.models.convnet_network import GROUPS, ConvNetName
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.network_name import parse

ACTIVATIONS = {"sigmoid": "nn.Sigmoid()", "relu": "nn.ReLU()", "leakyrelu": "nn.LeakyReLU(0.01)", "swish": "nn.SiLU()"}
POOLS = {"nopool": None, "maxpool": "nn.MaxPool2d(2)", "avgpool": "nn.AvgPool2d(2)"}

SCRIPT_HEAD = '''"""Train fresh networks on this set and test them, in plain PyTorch:

    python train.py TEST.npz [NETWORKS]

TEST.npz holds `images` (uint8, {test_shape}) and `labels` (N):
{test}.
Expected: {expected}.
Needs torch, safetensors and numpy. `sha256sum --check SHA256SUMS` shows whether a file was changed after the release.
"""

import sys
from pathlib import Path

import numpy
import torch
from safetensors.torch import load_file
from torch import nn
{imports}

def network():
{network}


'''
SCRIPT_BODY = """device = "cuda" if torch.cuda.is_available() else "cpu"
torch.set_default_device(device)
here, test = Path(__file__).parent, numpy.load(sys.argv[1])
made = load_file(here / "set.safetensors", device=device)
fitted = load_file(here / "transform.safetensors", device=device)
pixels, truth = torch.tensor(test["images"]) / 255, torch.tensor(test["labels"])
{transform}
images, labels, rate = made["images"], {labels}, {rate}
scores = []
for seed in range(int(sys.argv[2]) if len(sys.argv) > 2 else {networks}):
    torch.manual_seed(seed)
    net = network()
    for epoch in range({passes}):
        if epoch in (0, {cut}):  # the rate is cut, and the optimiser starts anew
            now = rate * {decay} if epoch else rate
            sgd = torch.optim.SGD(net.parameters(), lr=now, momentum={momentum}, weight_decay={weight_decay})
        for rows in torch.randperm(len(images)).split({batch}):
            loss = nn.functional.cross_entropy(net({batch_images}), labels[rows])
            sgd.zero_grad()
            loss.backward()
            sgd.step()
    with torch.no_grad():
        guessed = torch.cat([net(part).argmax(1) for part in seen.split(500)])
    scores.append(100 * (guessed == truth).float().mean().item())
    print(f"network {{seed}}: {{scores[-1]:.2f}} %", flush=True)
print(f"{{numpy.mean(scores):.2f}} +- {{numpy.std(scores):.2f}} % over {{len(scores)}} networks; expected:")
print("{expected}")
"""
STANDARDISED_TRANSFORM = (
    'mean, std = (fitted[name].float()[:, None, None] for name in ("mean", "std"))\nseen = (pixels - mean) / std'
)
WHITENED_TRANSFORM = """whitened = (pixels.flatten(1).double() - fitted["mean"]) @ fitted["matrix"]
seen = whitened.view(pixels.shape).float()"""
AUGMENT_MODULE = '''"""The augmentation of DSA (arXiv:2102.08259): a family a batch, every image its own parameters."""

import math

import torch
from torch.nn.functional import affine_grid, grid_sample

FAMILIES = {families}


def augmented(x):
    """A batch (N, C, H, W) after one random family."""
    return apply(x, FAMILIES[int(torch.randint(len(FAMILIES), ()))], torch.rand(len(x), 3, dtype=torch.float64))


def apply(x, family, uniform):
    """A batch after a family, its parameters made of uniform numbers (N, 3)."""
    u, v, w = uniform.to(x.dtype).T[..., None, None, None]
    side, zero, one = x.shape[2], torch.zeros_like(u), torch.ones_like(u)
    if family == "color":
        x = x + (u - 0.5)
        x = (x - x.mean(1, keepdim=True)) * (2 * v) + x.mean(1, keepdim=True)
        level = x.mean((1, 2, 3), keepdim=True)
        return (x - level) * (w + 0.5) + level
    if family == "flip":
        return torch.where(u < 0.5, x.flip(3), x)
    if family == "cutout":
        length = int(side * 0.5 + 0.5)
        top, left = (((t * (side + 1 - length % 2)).floor() - length // 2) for t in (u, v))
        row, column = torch.arange(side).view(1, 1, -1, 1), torch.arange(side)
        blank = (row >= top) & (row < top + length) & (column >= left) & (column < left + length)
        return x.masked_fill(blank, 0)
    if family == "crop":
        reach = int(side * 0.125 + 0.5)
        down, right = (((t * (2 * reach + 1)).floor() - reach) * 2 / (side - 1) for t in (u, v))
        rows = [one, zero, right, zero, one, down]
    elif family == "scale":
        low, high = 1 / 1.2, 1.2
        rows = [low + (high - low) * u, zero, zero, zero, low + (high - low) * v, zero]
    else:
        angle = (2 * u - 1) * math.radians(15)
        rows = [angle.cos(), -angle.sin(), zero, angle.sin(), angle.cos(), zero]
    theta = torch.cat(rows, 1).view(-1, 2, 3)
    return grid_sample(x, affine_grid(theta, list(x.shape), align_corners=True), align_corners=True)
'''


def refuse_unwritable_script(config: Evaluation, network: str, where: str) -> None:
    """Raises: UserError if its train.py cannot express the protocol or the network."""
    _convnet(network)
    if not config.sharpness.is_plain:
        remedy = "release with the scores of a protocol whose sharpness is none"
        raise UserError("train.py of a release trains by SGD without a sharpness rule", where=where, remedy=remedy)
    if config.labels != "own":
        remedy = "release with the scores of a protocol whose labels are the set's own"
        raise UserError("train.py of a release trains on the set's own labels", where=where, remedy=remedy)
    if config.augmentation.dsa_families is None:
        remedy = "release with the scores of a protocol whose augmentation is DSA's or none"
        problem = f"train.py of a release cannot augment by {config.augmentation.kind}"
        raise UserError(problem, where=where, remedy=remedy)


def _convnet(network: str) -> ConvNetName:
    name = parse(network)
    if not isinstance(name, ConvNetName) or name.norm == "batch":
        remedy = "release with the scores of a ConvNet without batch norm, such as --network convnet3"
        raise UserError(f"train.py of a release cannot build {network}", where="--network", remedy=remedy)
    return name


def network_source(name: str, *, channels: int, image_size: int, classes: int) -> str:
    """The body of a function that returns a ConvNet, parameter for parameter in the order of ours.

    Raises: UserError for a network that is no ConvNet, or has batch norm.
    """
    parsed = _convnet(name)
    sides, width = parsed.sides(image_size), parsed.width
    norm = {
        "instance": f"nn.GroupNorm({width}, {width})",
        "group": f"nn.GroupNorm({GROUPS}, {width})",
        "layer": f"nn.LayerNorm([{width}, side, side])",
        "nonorm": None,
    }[parsed.norm]
    convolution = f"nn.Conv2d(channels, {width}, 3, padding=padding)"
    block = (convolution, norm, ACTIVATIONS[parsed.activation], POOLS[parsed.pooling])
    first_padding = 3 if image_size == 28 else 1
    seen = tuple((side, 1 if index else first_padding) for index, side in enumerate(sides[:-1]))
    lines = [
        f"layers, channels = [], {channels}",
        f"for {'side' if parsed.norm == 'layer' else '_side'}, padding in {seen}:",
        f"    layers += [{', '.join(part for part in block if part)}]",
        f"    channels = {width}",
        f"return nn.Sequential(*layers, nn.Flatten(), nn.Linear({width * sides[-1] ** 2}, {classes}))",
    ]
    return "\n".join(f"    {line}" for line in lines)


def script_files(
    config: Evaluation,
    *,
    rate: float | None,
    network_body: str,
    whitened: bool,
    soft: bool,
    test_shape: str,
    test: str,
    expected: str,
) -> dict[str, str]:
    """The script, and the augmentation if the protocol has one, by file name. `rate` None: the set's own step size."""
    families = config.augmentation.dsa_families
    imports = "\nfrom augment import augmented\n" if families else ""
    head = SCRIPT_HEAD.format(
        test_shape=test_shape, test=test, expected=expected, imports=imports, network=network_body
    )
    body = SCRIPT_BODY.format(
        transform=WHITENED_TRANSFORM if whitened else STANDARDISED_TRANSFORM,
        labels='made["labels"].softmax(1)' if soft else 'made["labels"]',
        rate='float(made["step_size"])' if rate is None else rate,
        networks=config.networks,
        passes=config.epochs + 1,
        cut=config.epochs // 2 + 2,
        decay=config.decay,
        momentum=config.momentum,
        weight_decay=config.weight_decay,
        batch=config.batch,
        batch_images="augmented(images[rows])" if families else "images[rows]",
        expected=expected,
    )
    script = {"train.py": head + body}
    return {**script, "augment.py": AUGMENT_MODULE.format(families=families)} if families else script
