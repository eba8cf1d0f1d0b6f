"""Laws of the augmentations of tested networks, on real digits."""

import json
from dataclasses import replace

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from sklearn.datasets import load_digits
from torch import Tensor

import repository
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation import protocol, torchvision_augmentation
from dcpipe.evaluation.augmentation_config import Cutmix, Dsa, Mixup, NoAugmentation, OneOf
from dcpipe.evaluation.batch_augmentation import Batch
from dcpipe.models.build import build
from dcpipe.params.axis import load_values
from dcpipe.params.evaluation import AugmentationConfig
from dcpipe.params.library import ParamsLibrary
from dcpipe.random import Stream

load_values()
KINDS = sorted(AugmentationConfig.registry)
FILES = ("mixup", "cutmix", "auto-augment", "rand-augment")
IMAGES = torch.tensor(load_digits().images[:10], dtype=torch.float32)[:, None] / 8 - 1  # a digit of each class
LABELS = torch.arange(10)


def parsed(value: object) -> AugmentationConfig:
    return TypeAdapter(AugmentationConfig).validate_json(json.dumps(value))


def example(kind: str) -> AugmentationConfig:
    return parsed(AugmentationConfig.registry[kind].examples()[kind].tree)


def draws(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def augmented(value: AugmentationConfig, generator: torch.Generator, images: Tensor = IMAGES) -> Batch:
    labels = torch.eye(10) if value.mixes_labels else LABELS
    return value.build()(images, labels, generator)


@pytest.mark.parametrize("kind", KINDS)
def test_the_named_generator_alone_is_drawn_from(kind: str) -> None:
    value, generator, before = example(kind), draws(), torch.get_rng_state()
    images, labels = augmented(value, generator)
    later, _ = augmented(value, generator)
    torch.rand(3)  # what the global generator did before makes no difference
    again = augmented(value, draws())
    assert torch.equal(images, again[0])
    assert torch.equal(labels, again[1])
    assert torch.equal(images, later) == (kind == "none")
    torch.set_rng_state(before)
    augmented(value, draws())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_keeps_its_form_and_its_images_are_not_altered_in_place(kind: str) -> None:
    images, value = IMAGES.double(), example(kind)
    seen, labels = augmented(value, draws(), images)
    assert (seen.shape, seen.dtype) == (images.shape, images.dtype)
    assert torch.equal(images, IMAGES.double())
    assert labels.is_floating_point() == value.mixes_labels


@pytest.mark.parametrize("value", [Mixup(kind="mixup", alpha=1.0), Cutmix(kind="cutmix", alpha=1.0)])
def test_labels_are_weighed_as_images_are(value: AugmentationConfig) -> None:
    beside = IMAGES.roll(1, 0)
    for seed in range(20):
        seen, labels = augmented(value, draws(seed))
        torch.testing.assert_close(labels.sum(1), torch.ones(10))
        own = labels[0, 0]
        torch.testing.assert_close(labels, own * torch.eye(10) + (1 - own) * torch.eye(10).roll(1, 0))
        if isinstance(value, Mixup):
            torch.testing.assert_close(seen, own * IMAGES + (1 - own) * beside)
        else:
            assert ((seen == IMAGES) | (seen == beside)).all()


def test_the_area_that_cutmix_takes_is_the_weight_of_its_label() -> None:
    images = torch.rand(10, 3, 8, 8, generator=draws())  # no two pixels are equal
    weights = set()
    for seed in range(30):
        seen, labels = augmented(Cutmix(kind="cutmix", alpha=1.0), draws(seed), images)
        torch.testing.assert_close((seen == images).float().mean(dim=(1, 2, 3)), labels.diagonal())
        weights.add(round(float(labels[0, 0]), 4))
    assert len(weights) > 10


def test_a_weight_of_one_leaves_images_as_they_are() -> None:
    whole = []
    for seed in range(20):
        seen, labels = augmented(Mixup(kind="mixup", alpha=0.01), draws(seed))  # weights are mostly next to 0 or 1
        for weight, images in ((0.0, IMAGES.roll(1, 0)), (1.0, IMAGES)):
            if abs(float(labels[0, 0]) - weight) < 1e-7:
                torch.testing.assert_close(seen, images)
                whole.append(weight)
    assert set(whole) == {0.0, 1.0}


@pytest.mark.parametrize("kind", ["auto-augment", "rand-augment"])
def test_operations_on_pixels_do_the_same_in_any_range(kind: str) -> None:
    images, _ = augmented(example(kind), draws())
    larger, _ = augmented(example(kind), draws(), 4 * IMAGES)
    assert torch.equal(larger, 4 * images)
    assert images.min() >= IMAGES.min()
    assert images.max() <= IMAGES.max() + 1e-6
    changed = (images != IMAGES).flatten(1).any(1)
    assert int(changed.sum()) > 3
    flat = torch.full((2, 1, 8, 8), 0.3)
    assert torch.equal(augmented(example(kind), draws(), flat)[0], flat)


def test_an_error_inside_leaves_the_global_generator_where_it_was() -> None:
    before, augment = torch.get_rng_state(), torchvision_augmentation.mixup(1.0)
    with pytest.raises(ValueError, match="labels should be"):
        augment(IMAGES, torch.zeros(10, 2, 2), draws())
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("name", FILES)
def test_networks_learn_and_need_not_see_every_class(name: str) -> None:
    config = replace(ParamsLibrary(repository.ROOT).evaluation(name, "tiny", 1)[1], epochs=2)
    few = SyntheticSet(IMAGES[:6], LABELS[:6], torch.tensor(0.05, dtype=torch.float64))
    soft = SyntheticSet(IMAGES[:6], 100 * torch.eye(10)[:6], few.step_size)
    model, stream = build("convnet2-w8", channels=1, image_size=8, classes=10), Stream.root(0, "augmented")
    theta_P = protocol.train(model, few, config, 0.05, stream).theta_P
    assert torch.equal(theta_P, protocol.train(model, few, config, 0.05, stream).theta_P)
    torch.testing.assert_close(theta_P, protocol.train(model, soft, config, 0.05, stream).theta_P)
    plain = replace(config, augmentation=NoAugmentation(kind="none"))
    assert not torch.allclose(theta_P, protocol.train(model, few, plain, 0.05, stream).theta_P)


def test_short_forms_stand_for_values() -> None:
    assert parsed("none") == NoAugmentation(kind="none")
    assert parsed("color_crop") == Dsa(kind="dsa", families="color_crop")
    assert parsed("one-of-crop-noise") == OneOf(kind="one-of", operations=["crop", "noise"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("one-of-crop-flip", "'flip' is none of DC's operations; name some of crop, scale, rotate, noise, or write a"),
        ("one-of-crop-crop", "'crop' is named twice"),
        ("one-of-", "'' is none of DC's operations"),
        ("mixupp", "'mixupp' is not an augmentation family; .* whose kind is one of auto-augment, cutmix, dsa, mixup"),
        ("crop_crop", "'crop_crop' names 'crop' twice"),
        ("mixup", "mixup needs values; write {kind: mixup, alpha: ...}"),
        ({"kind": "dsa", "families": "none"}, "name a family, or write augmentation: none"),
        ({"kind": "one-of", "operations": []}, "none of DC's operations"),
        ({"kind": "mixup", "alpha": 1e-9}, "greater than or equal to 0.01"),
        ({"kind": "rand-augment", "operations": 2, "magnitude": 31}, "less than or equal to 30"),
    ],
)
def test_other_forms_are_refused(wrong: object, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        parsed(wrong)
