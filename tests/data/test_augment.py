"""Laws of the augmentation, on colour photographs and handwritten digits that come with scikit-learn."""

import math

import pytest
import torch
from sklearn.datasets import load_digits, load_sample_image
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from dcpipe.data import augment
from dcpipe.data.augment import FAMILIES, AugmentationFamily, DSADraw, DSAParams
from dcpipe.errors import UserError
from dcpipe.random import Stream

ALL = "color_crop_cutout_flip_scale_rotate"
HEIGHT, WIDTH = 12, 16


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """24 patches of a photograph, centred on zero: (24, 3, 12, 16) float64."""
    photo_HWC = torch.tensor(load_sample_image("flower.jpg"), dtype=torch.float64) / 255
    patches = photo_HWC[100:148, 200:296].unfold(0, HEIGHT, HEIGHT).unfold(1, WIDTH, WIDTH)
    return patches.reshape(-1, 3, HEIGHT, WIDTH) - photo_HWC.mean()


def draw(
    family: AugmentationFamily,
    batch: int,
    *,
    siamese: bool = False,
    params: DSAParams = augment.PUBLISHED,
    seed: int = 0,
) -> DSADraw:
    generator = Stream.root(seed, "augment", family).generator()
    size = {"height": HEIGHT, "width": WIDTH}
    return augment.draw((family,), batch=batch, **size, generator=generator, siamese=siamese, params=params)


def matrix(drawn: DSADraw) -> Tensor:
    """The 2x3 matrices that `affine_grid` takes, one per image."""
    return torch.nn.functional.pad(drawn.values_NQ.view(-1, 2, 2), (0, 1))


def test_a_strategy_is_its_families_in_order() -> None:
    assert augment.parse_strategy(ALL) == FAMILIES
    assert augment.parse_strategy("flip_crop") == ("flip", "crop")
    assert augment.parse_strategy("none") == ()


@pytest.mark.parametrize("strategy", ["crop_shear", "flip_flip", "", "Crop"])
def test_a_strategy_that_means_nothing_is_the_users_mistake(strategy: str) -> None:
    with pytest.raises(UserError, match=r"augmentation strategy.*(not an augmentation family|named twice)"):
        augment.parse_strategy(strategy)


def test_the_empty_strategy_is_the_identity(photos: Tensor) -> None:
    generator = Stream.root(0, "none").generator()
    drawn = augment.draw((), batch=len(photos), height=HEIGHT, width=WIDTH, generator=generator, siamese=False)
    assert torch.equal(augment.apply(photos, drawn), photos)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_augmented_images_are_new_and_of_the_same_kind(
    photos: Tensor, family: AugmentationFamily, dtype: torch.dtype
) -> None:
    x = photos.to(dtype)
    before = x.clone()
    out = augment.apply(x, draw(family, len(x)))
    assert torch.equal(x, before)
    assert (out.shape, out.dtype) == (x.shape, x.dtype)
    assert out.data_ptr() != x.data_ptr()
    assert not torch.equal(out, x)


@pytest.mark.parametrize(
    ("family", "params"),
    [
        ("crop", DSAParams(crop=0.0)),
        ("cutout", DSAParams(cutout=0.0)),
        ("flip", DSAParams(flip=0.0)),
        ("scale", DSAParams(scale=1.0)),
        ("rotate", DSAParams(rotate=0.0)),
    ],
)
def test_at_zero_strength_a_geometric_family_is_the_identity_bit_for_bit(
    photos: Tensor, family: AugmentationFamily, params: DSAParams
) -> None:
    assert torch.equal(augment.apply(photos, draw(family, len(photos), params=params)), photos)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_draw_depends_on_its_stream_alone(photos: Tensor, family: AugmentationFamily) -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first, again, other = draw(family, 9), draw(family, 9), draw(family, 9, seed=1)
    assert torch.equal(first.values_NQ, again.values_NQ)
    assert not torch.equal(first.values_NQ, other.values_NQ)
    assert torch.equal(torch.get_rng_state(), state)


def test_families_are_drawn_equally_often_and_one_a_call() -> None:
    generator = Stream.root(0, "families").generator()
    strategy = augment.parse_strategy(ALL)
    drawn = [
        augment.draw(strategy, batch=2, height=8, width=8, generator=generator, siamese=False).family
        for _ in range(3000)
    ]
    counts = [drawn.count(family) for family in FAMILIES]
    assert all(abs(count - 500) < 5 * math.sqrt(500 * 5 / 6) for count in counts)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_draw_takes_the_same_from_the_generator_whatever_the_family(family: AugmentationFamily) -> None:
    generator = Stream.root(0, "state").generator()
    augment.draw((family,), batch=5, height=8, width=8, generator=generator, siamese=False)
    reference = Stream.root(0, "state").generator()
    augment.draw(("color",), batch=5, height=8, width=8, generator=reference, siamese=False)
    assert torch.equal(generator.get_state(), reference.get_state())


@pytest.mark.parametrize("family", FAMILIES)
def test_siamese_images_share_their_parameters_and_others_do_not(photos: Tensor, family: AugmentationFamily) -> None:
    same = photos[:1].expand(20, -1, -1, -1)
    shared = augment.apply(same, draw(family, 20, siamese=True))
    apart = augment.apply(same, draw(family, 20))
    assert torch.equal(shared, shared[:1].expand_as(shared))
    assert len({image.numpy().tobytes() for image in apart}) > 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_siamese_draw_fits_batches_of_any_size(photos: Tensor, family: AugmentationFamily) -> None:
    drawn = draw(family, 3, siamese=True)
    assert torch.equal(augment.apply(photos, drawn)[:3], augment.apply(photos[:3], drawn))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("siamese", [False, True])
def test_micro_batches_of_a_draw_add_up_to_the_whole_bit_for_bit(
    photos: Tensor, family: AugmentationFamily, siamese: bool
) -> None:
    drawn = draw(family, len(photos), siamese=siamese)
    order = torch.randperm(len(photos), generator=Stream.root(0, "order").generator())
    parts = [augment.apply(photos[rows], drawn.rows(rows)) for rows in order.split(7)]
    assert torch.equal(torch.cat(parts), augment.apply(photos, drawn)[order])
    head = augment.apply(photos[:5], drawn.rows(slice(0, 5)))
    assert torch.equal(head, augment.apply(photos, drawn)[:5])


def test_a_draw_refuses_images_it_was_not_made_for(photos: Tensor) -> None:
    drawn = draw("flip", len(photos))
    for wrong in (photos[:3], photos.transpose(2, 3), photos[:1]):
        with pytest.raises(ValueError, match="draw for 24 images of 12x16"):
            augment.apply(wrong, drawn)


@pytest.mark.filterwarnings("ignore:Since version 1.3.0, affine_grid behavior has changed for unit-size grids")
@pytest.mark.parametrize("family", ["scale", "rotate"])
@pytest.mark.parametrize("shape", [(HEIGHT, WIDTH), (WIDTH, HEIGHT), (1, WIDTH), (HEIGHT, 1), (2, 3)])
def test_the_sampler_and_its_gradient_are_those_of_grid_sample(
    photos: Tensor, family: AugmentationFamily, shape: tuple[int, int]
) -> None:
    x = photos.reshape(24, 3, -1)[:, :, : shape[0] * shape[1]].reshape(24, 3, *shape).requires_grad_()
    # four times the published strength, so that plenty of pixels come from outside
    params = DSAParams(scale=4.8, rotate=60.0)
    generator = Stream.root(3, family).generator()
    drawn = augment.draw(
        (family,),
        batch=24,
        height=shape[0],
        width=shape[1],
        generator=generator,
        siamese=False,
        params=params,
    )
    grid = affine_grid(matrix(drawn), list(x.shape), align_corners=True)
    expected = grid_sample(x, grid, padding_mode="zeros", align_corners=True)
    ours = augment.apply(x, drawn)
    torch.testing.assert_close(ours, expected, rtol=0, atol=1e-12)
    weight = photos.reshape(24, 3, -1)[:, :, -shape[0] * shape[1] :].reshape(x.shape)
    (expected_gradient,) = torch.autograd.grad((expected * weight).sum(), x)
    (our_gradient,) = torch.autograd.grad((ours * weight).sum(), x)
    torch.testing.assert_close(our_gradient, expected_gradient, rtol=0, atol=1e-12)


def test_scale_factors_are_independent_and_within_the_published_range() -> None:
    values = draw("scale", 4000).values_NQ
    low, high = 1 / 1.2, 1.2
    for factor in (values[:, 0], values[:, 3]):
        assert factor.min() >= low
        assert factor.max() <= high
        assert abs(factor.mean() - (low + high) / 2) < 5 * (high - low) / math.sqrt(12 * 4000)
    assert torch.equal(values[:, 1:3], torch.zeros(4000, 2, dtype=torch.float64))
    assert abs(torch.corrcoef(values[:, [0, 3]].T)[0, 1]) < 5 / math.sqrt(4000)


def test_rotations_are_rotations_within_fifteen_degrees() -> None:
    matrices = draw("rotate", 4000).values_NQ.view(-1, 2, 2)
    identity = torch.eye(2, dtype=torch.float64).expand(4000, 2, 2)
    torch.testing.assert_close(matrices @ matrices.mT, identity, rtol=0, atol=1e-14)
    degrees = torch.rad2deg(torch.atan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert degrees.abs().max() <= 15
    assert degrees.min() < -14.9
    assert degrees.max() > 14.9


def test_crop_moves_whole_pixels_and_fills_with_zeros(photos: Tensor) -> None:
    drawn = draw("crop", len(photos))
    out = augment.apply(photos, drawn)
    for image, moved, (down, right) in zip(photos, out, drawn.values_NQ.int().tolist(), strict=True):
        expected = torch.zeros_like(image)
        rows = range(max(0, -down), min(HEIGHT, HEIGHT - down))
        columns = range(max(0, -right), min(WIDTH, WIDTH - right))
        for row in rows:
            for column in columns:
                expected[:, row, column] = image[:, row + down, column + right]
        assert torch.equal(moved, expected)


def test_crop_shifts_by_up_to_an_eighth_of_the_side_equally_often() -> None:
    down, right = draw("crop", 9000).values_NQ.unbind(1)
    assert torch.equal(down.unique(), torch.arange(-2.0, 3.0).double())  # int(12/8 + .5) = 2
    counts = torch.stack([(right == shift).sum() for shift in range(-2, 3)])  # int(16/8 + .5) = 2
    assert (counts - 1800).abs().max() < 5 * math.sqrt(1800 * 0.8)


def test_cutout_zeroes_the_clamped_window_and_nothing_else(photos: Tensor) -> None:
    ones = torch.ones_like(photos)
    drawn = draw("cutout", len(photos))
    blank = augment.apply(ones, drawn)[:, 0] == 0
    for mask, (top, bottom, left, right) in zip(blank, drawn.values_NQ.int().tolist(), strict=True):
        expected = torch.zeros_like(mask)
        expected[top:bottom, left:right] = True
        assert torch.equal(mask, expected)
    assert torch.equal(augment.apply(photos, drawn), photos * ~blank[:, None])


@pytest.mark.parametrize(("side", "length"), [(8, 4), (10, 5), (7, 4), (1, 1)])
def test_cutout_centres_are_uniform_and_windows_shrink_at_the_borders(side: int, length: int) -> None:
    generator = Stream.root(0, "window").generator()
    drawn = augment.draw(("cutout",), batch=9000, height=side, width=side, generator=generator, siamese=False)
    # the published rule: indices centre - length // 2 + 0 .. length - 1, clamped into the image
    centres = range(side + 1 - length % 2)
    windows = [
        sorted({min(max(centre - length // 2 + step, 0), side - 1) for step in range(length)}) for centre in centres
    ]
    expected = [(window[0], window[-1] + 1) for window in windows]
    seen = [tuple(row) for row in drawn.values_NQ[:, :2].int().tolist()]
    share = 9000 / len(centres)
    for window in set(expected) | set(seen):
        often = share * expected.count(window)
        assert abs(seen.count(window) - often) <= 5 * math.sqrt(often)


def test_flip_mirrors_half_the_images_and_twice_is_the_identity(photos: Tensor) -> None:
    drawn = draw("flip", len(photos))
    flipped = drawn.values_NQ[:, 0].bool()
    out = augment.apply(photos, drawn)
    assert torch.equal(out[flipped], photos[flipped].flip(3))
    assert torch.equal(out[~flipped], photos[~flipped])
    assert torch.equal(augment.apply(out, drawn), photos)
    assert abs(draw("flip", 4000).values_NQ.mean() - 0.5) < 5 * 0.5 / math.sqrt(4000)


def test_color_is_brightness_then_saturation_then_contrast(photos: Tensor) -> None:
    drawn = draw("color", len(photos))
    for image, out, (shift, chroma, contrast) in zip(
        photos, augment.apply(photos, drawn), drawn.values_NQ.tolist(), strict=True
    ):
        assert -0.5 <= shift < 0.5
        assert 0 <= chroma < 2
        assert 0.5 <= contrast < 1.5
        bright = image + shift
        vivid = chroma * bright + (1 - chroma) * bright.mean(0)
        expected = contrast * vivid + (1 - contrast) * vivid.mean()
        torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)


def test_on_gray_images_saturation_changes_nothing() -> None:
    digits = torch.tensor(load_digits().images[:50] / 16)[:, None]
    generator = Stream.root(0, "gray").generator()
    drawn = augment.draw(("color",), batch=50, height=8, width=8, generator=generator, siamese=False)
    values = drawn.values_NQ.clone()
    values[:, 1] = 1.0
    without = DSADraw("color", values, 8, 8, False)
    assert torch.equal(augment.apply(digits, drawn), augment.apply(digits, without))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_is_affine_in_the_pixels(photos: Tensor, family: AugmentationFamily) -> None:
    drawn = draw(family, 12)
    one, two = photos[:12], photos[12:]
    mixed = augment.apply(0.3 * one + 0.7 * two, drawn)
    torch.testing.assert_close(
        mixed, 0.3 * augment.apply(one, drawn) + 0.7 * augment.apply(two, drawn), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_first_and_second_derivatives_equal_central_differences(photos: Tensor, family: AugmentationFamily) -> None:
    drawn = draw(family, 4)

    def energy(x: Tensor) -> Tensor:
        return augment.apply(x, drawn).exp().sum(dim=(1, 2, 3)).log().square().sum()

    x, direction, step = photos[:4], photos[4:8], 1e-4
    gradient = torch.func.grad(energy)
    slope = (energy(x + step * direction) - energy(x - step * direction)) / (2 * step)
    torch.testing.assert_close((gradient(x) * direction).sum(), slope, rtol=1e-6, atol=1e-9)
    _, pullback = torch.func.vjp(gradient, x)
    curve = (gradient(x + step * direction) - gradient(x - step * direction)) / (2 * step)
    torch.testing.assert_close(pullback(direction)[0], curve, rtol=1e-5, atol=1e-8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("family", FAMILIES)
def test_on_a_gpu_the_backward_pass_repeats_its_bits_and_is_the_cpus(
    photos: Tensor, family: AugmentationFamily, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    drawn = draw(family, len(photos))

    def gradient(x: Tensor) -> Tensor:
        return torch.func.grad(lambda x: augment.apply(x, drawn).exp().sum())(x)

    torch.use_deterministic_algorithms(True)
    try:
        first, again = gradient(photos.cuda()), gradient(photos.cuda())
        assert torch.equal(first, again)
        assert torch.equal(augment.apply(photos.cuda(), drawn.to("cuda")), augment.apply(photos.cuda(), drawn))
    finally:
        torch.use_deterministic_algorithms(False)
    torch.testing.assert_close(first.cpu(), gradient(photos), rtol=0, atol=1e-12)
