"""Laws of the outer sharpness kinds, in float64: on a quadratic where all is known, and on students of real digits."""

from dataclasses import dataclass, replace

import pytest
import torch
from tiny import apply, contrast_and_shift, digits, problem, solve
from torch import Tensor

from dcpipe.distillation.hypergradient import exact
from dcpipe.distillation.hypergradient.hypergradient_problem import HypergradientProblem, InnerDraws
from dcpipe.distillation.hypergradient.truncated import truncated_hypergradient
from dcpipe.distillation.inner_loop import make_inner_training
from dcpipe.distillation.matching_results import Gradients, MatchingResult, StudentStart
from dcpipe.distillation.sharpness import asam, gsam, none, sam, satm, vasso
from dcpipe.distillation.sharpness.passes import ascent
from dcpipe.distillation.sharpness.sharpness_config import Asam, Gsam, NoSharpness, Sam, Satm, SmoothingNoise, Vasso
from dcpipe.distillation.sharpness.vasso import mean_gradient
from dcpipe.distillation.student import draw_batches
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.params.shares import SecondPass, steps_of
from dcpipe.random import Stream

INNER = make_inner_training(apply, augment=contrast_and_shift)
ALL, THIRD = (SecondPass(steps=steps, draws="shared") for steps in ("1/1", "1/3"))
NONE = NoSharpness(kind="none")
STREAM = Stream.root(0, "sharpness")
RADIUS = 0.3

D = 12  # numbers in a set of three images of two by two pixels
HESSIAN = torch.eye(D, dtype=torch.float64) + torch.full((D, D), 0.5, dtype=torch.float64)
LINEAR = torch.linspace(-2, 3, D, dtype=torch.float64)


@dataclass
class Seen:
    """What a matching was asked."""

    images: Tensor
    start: StudentStart | None
    draws: InnerDraws | None


class Quadratic:
    """1/2 S H S - b S, without students: a loss of the images like any other."""

    as_student_episode = None

    def evaluate(self, synthetic):
        s = synthetic.images_NCHW.flatten()
        gradients = Gradients((HESSIAN @ s - LINEAR).view_as(synthetic.images_NCHW))
        return MatchingResult(s @ HESSIAN @ s / 2 - LINEAR @ s, gradients)


class Students:
    """An episode of the small network on real digits, by any kind of hypergradient; notes what it is asked."""

    def __init__(self, kind=exact.compute_hypergradient, draws=None, seen=None):
        self.kind, self.task, self.seen = kind, problem(batch=4, augmented=True), [] if seen is None else seen
        self.draws = draws or self.task.draws

    @property
    def as_student_episode(self):
        return self

    def with_new_draws(self, num_images):
        batches = draw_batches(num_images, 4, 6, STREAM.child("again").generator())
        return Students(self.kind, InnerDraws(batches, (None,) * 6), self.seen)

    def evaluate(self, synthetic, start=None):
        self.seen.append(Seen(synthetic.images_NCHW, start, self.draws))
        begin, task = start or StudentStart(0, self.task.start), self.task
        changed = {"images_NCHW": synthetic.images_NCHW, "step_size": synthetic.step_size}
        rest = {"start_P": begin.theta_P, "draws": self.draws.after(begin.step)}
        return self.kind(HypergradientProblem(INNER, **(task.keywords | changed | rest)))


def students(kind=exact.compute_hypergradient):
    matching = Students(kind)
    task = matching.task
    return matching, SyntheticSet(task.images, task.labels, task.step_size)


def found(kind, rule, matching, synthetic, carried_state=None, stream=STREAM):
    config = () if kind is none else (rule,)
    return kind.compute_gradients(*config, synthetic, matching, carried_state=carried_state, stream=stream)


def quadratic_set():
    images = torch.linspace(-1, 2, D, dtype=torch.float64).view(3, 1, 2, 2)
    return SyntheticSet(images, torch.tensor([0, 1, 2]), torch.tensor(0.1, dtype=torch.float64))


def a_sam(radius=RADIUS, second_pass=ALL):
    return Sam(kind="sam", radius=radius, second_pass=second_pass)


def a_satm(radius=RADIUS, scale=0.1, unit="rms", kept=False, second_pass=ALL):
    noise = SmoothingNoise(scale=scale, unit=unit, kept=kept)
    return Satm(kind="satm", radius=radius, noise=noise, second_pass=second_pass)


def same(one, other):
    pairs = ((one.images, other.images), (one.step_size, other.step_size))
    return all(torch.equal(a, b) for a, b in pairs)


def test_on_a_quadratic_every_kind_has_its_closed_form():
    synthetic = quadratic_set()
    s = synthetic.images_NCHW.flatten()
    h = HESSIAN @ s - LINEAR
    d = 0.25 * h + 0.75 * LINEAR
    ball = (s.abs() + 0.01) ** 2 * h * (RADIUS / ((s.abs() + 0.01) * h).norm())
    climbed = {
        "sam": (sam, a_sam(), None, RADIUS * h / h.norm()),
        "asam": (asam, Asam(kind="asam", radius=RADIUS, offset=0.01, second_pass=ALL), None, ball),
        "vasso": (
            vasso,
            Vasso(kind="vasso", radius=RADIUS, theta=0.25, second_pass=ALL),
            LINEAR,
            RADIUS * d / d.norm(),
        ),
    }
    for name, (kind, rule, carried_state, e) in climbed.items():
        remembered = None if carried_state is None else carried_state.view(3, 1, 2, 2)
        ours = found(kind, rule, Quadratic(), synthetic, remembered)
        expected = HESSIAN @ (s + e) - LINEAR
        torch.testing.assert_close(ours.gradients.images.flatten(), expected, rtol=1e-10, atol=1e-12, msg=name)
        cosine = float(h @ expected / (h.norm() * expected.norm()))
        rise = float(e @ h + e @ HESSIAN @ e / 2)
        assert ours.facts == pytest.approx({"first_gradient_norm": float(h.norm()), "cosine": cosine, "rise": rise})
    across = found(gsam, Gsam(kind="gsam", radius=RADIUS, alpha=0.4, second_pass=ALL), Quadratic(), synthetic)
    worst = HESSIAN @ (s + climbed["sam"][3]) - LINEAR
    expected = worst - 0.4 * (h - (h @ worst) / (worst @ worst) * worst)
    torch.testing.assert_close(across.gradients.images.flatten(), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("second_pass", [ALL, THIRD], ids=["whole", "reused"])
@pytest.mark.parametrize("kind", [exact.compute_hypergradient, truncated_hypergradient(2)], ids=["exact", "truncated"])
def test_gsam_at_alpha_zero_is_sam(kind, second_pass):
    rule = Gsam(kind="gsam", radius=RADIUS, alpha=0.0, second_pass=second_pass)
    ours = found(gsam, rule, *students(kind)).gradients
    theirs = found(sam, a_sam(second_pass=second_pass), *students(kind)).gradients
    assert same(ours, theirs)
    assert not same(found(gsam, replace(rule, alpha=0.5), *students(kind)).gradients, theirs)


def test_what_gsam_takes_away_is_at_right_angles_to_sams_gradient():
    rule = Gsam(kind="gsam", radius=RADIUS, alpha=0.5, second_pass=ALL)
    climbed = found(sam, a_sam(), *students()).gradients.images.flatten()
    taken = climbed - found(gsam, rule, *students()).gradients.images.flatten()
    assert taken.norm() > 0.01 * climbed.norm()
    assert abs(taken @ climbed) < 1e-12 * taken.norm() * climbed.norm()


def test_asam_on_constant_magnitudes_is_sam_with_the_radius_in_that_unit():
    matching, synthetic = students()
    signs = torch.where(synthetic.images_NCHW > 0.5, 1.0, -1.0).double()
    synthetic = replace(synthetic, images_NCHW=0.4 * signs)
    rule = Asam(kind="asam", radius=RADIUS, offset=0.0, second_pass=ALL)
    ours = found(asam, rule, matching, synthetic).gradients.images
    theirs = found(sam, a_sam(0.4 * RADIUS), matching, synthetic).gradients.images
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-15)
    offset = found(asam, replace(rule, offset=0.6), matching, synthetic).gradients.images
    torch.testing.assert_close(offset, found(sam, a_sam(RADIUS), matching, synthetic).gradients.images)


def test_vasso_at_theta_one_is_sam_whatever_it_remembers():
    rule = Vasso(kind="vasso", radius=RADIUS, theta=1.0, second_pass=ALL)
    theirs = found(sam, a_sam(), *students()).gradients
    for carried_state in (None, digits(20)[0][10:]):
        assert same(found(vasso, rule, *students(), carried_state=carried_state).gradients, theirs)


def test_vassos_mean_begins_at_the_first_gradient_and_follows_the_others():
    rule = Vasso(kind="vasso", radius=RADIUS, theta=0.25, second_pass=ALL)
    h = found(none, NONE, *students()).gradients.images
    first = found(vasso, rule, *students())
    assert torch.equal(first.carried_state, h)
    assert same(first.gradients, found(sam, a_sam(), *students()).gradients)
    carried_state = digits(20)[0][10:]
    assert torch.equal(
        found(vasso, rule, *students(), carried_state=carried_state).carried_state,
        mean_gradient(carried_state, h, 0.25),
    )
    torch.testing.assert_close(mean_gradient(carried_state, h, 0.25), 0.75 * carried_state + 0.25 * h)


def test_satm_without_radius_noise_cut_or_reuse_is_the_plain_gradient():
    plain = found(none, NONE, *students())
    ours = found(satm, a_satm(radius=0.0, scale=0.0), *students())
    assert same(ours.gradients, plain.gradients)
    assert torch.equal(ours.loss, plain.loss)
    assert ours.facts["rise"] == 0.0
    assert ours.facts["cosine"] == pytest.approx(1.0)


def test_without_noise_satm_is_sam():
    assert same(found(satm, a_satm(scale=0.0), *students()).gradients, found(sam, a_sam(), *students()).gradients)


@pytest.mark.parametrize(
    "kind",
    [exact.compute_hypergradient, truncated_hypergradient(2), truncated_hypergradient(4)],
    ids=["all", "two", "four"],
)
def test_the_second_pass_starts_at_the_first_ones_bits_with_its_draws(kind):
    matching, synthetic = students(kind)
    found(satm, a_satm(second_pass=THIRD), matching, synthetic)
    first, second = matching.seen
    changed = matching.task.keywords | {"images_NCHW": first.images}
    _, whole = solve(exact.compute_hypergradient, INNER, **changed)
    assert second.start.step == 4  # a third of six steps is left
    assert torch.equal(second.start.theta_P, whole.thetas[4])
    assert second.draws is first.draws
    assert not torch.equal(second.images, first.images)


def test_a_second_pass_of_all_steps_starts_where_the_first_did():
    matching, synthetic = students(truncated_hypergradient(2))
    found(satm, a_satm(second_pass=ALL), matching, synthetic)
    assert [seen.start for seen in matching.seen] == [None, None]


def test_reuse_at_radius_zero_is_the_truncated_gradient():
    """The same trajectory, taken up at the cut: what the first pass found, found again."""
    ours = found(sam, a_sam(0.0, THIRD), *students()).gradients
    theirs = found(none, NONE, *students(truncated_hypergradient(2))).gradients
    assert torch.equal(ours.images, theirs.images)
    exactly = found(none, NONE, *students()).gradients
    assert torch.equal(ours.step_size, exactly.step_size)  # of the first pass
    assert not torch.equal(ours.images, exactly.images)


@pytest.mark.parametrize("kept", [False, True])
def test_the_perturbation_is_as_long_as_the_radius_kept_noise_stays(kept):
    matching, synthetic = students()
    ours = found(satm, a_satm(kept=kept), matching, synthetic)
    noise, climbed = (seen.images - synthetic.images_NCHW for seen in matching.seen)
    e = climbed - noise if kept else climbed
    assert float(e.norm()) == pytest.approx(RADIUS, rel=1e-9)
    torch.testing.assert_close(
        e, RADIUS * ours.first_image_gradient / ours.first_image_gradient.norm(), rtol=1e-7, atol=1e-12
    )
    assert noise.norm() > 0.1


def test_noise_is_in_the_unit_that_is_named():
    images = digits(10)[0]
    norms = images.flatten(1).norm(dim=1)
    for unit, expected in {"rms": 0.2 * norms / 8, "norm": 0.2 * norms, "variance": (0.2 * norms).sqrt()}.items():
        found_N = satm.noise_std(images, SmoothingNoise(scale=0.2, unit=unit, kept=False)).flatten()
        torch.testing.assert_close(found_N, expected, rtol=1e-12, atol=0)


def test_noise_has_the_deviation_that_it_should_and_a_name_of_its_own():
    images = torch.ones(50, 1, 20, 20, dtype=torch.float64)
    synthetic = SyntheticSet(images, torch.zeros(50, dtype=torch.int64), torch.tensor(0.1, dtype=torch.float64))

    class Flat(Quadratic):
        def evaluate(self, synthetic):
            x = synthetic.images_NCHW
            return MatchingResult(x.sum(), Gradients(x - images))

    drawn = [
        found(satm, a_satm(), Flat(), synthetic, stream=Stream.root(0, name)).first_image_gradient
        for name in ("a", "b", "a")
    ]
    assert float(drawn[0].std()) == pytest.approx(0.1, rel=0.02)
    assert abs(float(drawn[0].mean())) < 0.003
    assert torch.equal(drawn[0], drawn[2])
    assert abs(float(torch.corrcoef(torch.stack([drawn[0].flatten(), drawn[1].flatten()]))[0, 1])) < 0.02


def test_fresh_draws_are_the_second_passs_own():
    matching, synthetic = students()
    fresh = replace(ALL, draws="fresh")
    ours = found(sam, a_sam(second_pass=fresh), matching, synthetic)
    first, second = (torch.cat(seen.draws.batches) for seen in matching.seen)
    assert not torch.equal(first, second)
    assert not same(ours.gradients, found(sam, a_sam(), *students()).gradients)


def test_as_the_radius_shrinks_sam_approaches_the_plain_gradient():
    plain = found(none, NONE, *students()).gradients.images
    gaps = []
    for radius in (1e-3, 1e-4):
        ours = found(sam, a_sam(radius), *students())
        gaps.append(float((ours.gradients.images - plain).norm()))
        assert ours.facts["rise"] / radius == pytest.approx(float(plain.norm()), rel=100 * radius)
    assert gaps[0] / gaps[1] == pytest.approx(10, rel=0.05)


def test_the_step_size_is_learned_from_the_first_pass_and_its_trace():
    matching, synthetic = students()
    plain = found(none, NONE, matching, synthetic)
    ours = found(sam, a_sam(), matching, synthetic)
    assert torch.equal(ours.gradients.step_size, plain.gradients.step_size)
    assert torch.equal(ours.loss, plain.loss)
    for name in ("gradient_sum", "final_gradient", "final"):
        assert torch.equal(getattr(ours.trace, name), getattr(plain.trace, name))
    assert ours.trace.steps == plain.trace.steps == 6
    assert len(ours.trace.thetas) == 1  # the others are let go before the second pass keeps its own


@pytest.mark.parametrize(("share", "steps", "count"), [("1/3", 50, 16), ("1/3", 30, 10), ("1/1", 7, 7), ("2/5", 5, 2)])
def test_a_share_of_the_steps_is_rounded_down(share, steps, count):
    assert steps_of(share, steps) == count


def test_a_radius_is_a_multiple_of_what_its_unit_names():
    images, h = quadratic_set().images_NCHW, torch.linspace(3, -1, D, dtype=torch.float64).view(3, 1, 2, 2)
    absolute, of_set, of_images = (ascent(images, h, RADIUS, unit) for unit in ("absolute", "set-norm", "image-norm"))
    assert torch.equal(absolute, ascent(images, h, RADIUS))
    torch.testing.assert_close(absolute.norm(), torch.tensor(RADIUS, dtype=torch.float64))
    assert torch.equal(of_set, ascent(images, h, RADIUS * float(images.norm())))
    for e, image, way in zip(of_images, images, h, strict=True):
        torch.testing.assert_close(e, RADIUS * image.norm() * way / way.norm())
    torch.testing.assert_close(of_images.norm(), of_set.norm())  # as many norms, shared out otherwise
    for unit in ("set-norm", "image-norm"):
        torch.testing.assert_close(ascent(7 * images, h, RADIUS, unit), 7 * ascent(images, h, RADIUS, unit))


@pytest.mark.parametrize("unit", ["absolute", "set-norm", "image-norm"])
def test_of_a_radius_of_0_and_of_images_without_a_gradient_nothing_moves(unit):
    images = quadratic_set().images_NCHW
    h = torch.ones_like(images)
    h[1] = 0
    assert torch.equal(ascent(images, h, 0.0, unit), torch.zeros_like(images))
    assert torch.equal(ascent(images, h, RADIUS, unit)[1], torch.zeros_like(images[1]))


@pytest.mark.parametrize("unit", ["set-norm", "image-norm"])
def test_every_kind_with_a_ball_takes_its_radius_in_the_unit(unit):
    synthetic = quadratic_set()
    images = synthetic.images_NCHW
    h = (HESSIAN @ images.flatten() - LINEAR).view_as(images)
    at = {"radius": RADIUS, "radius_unit": unit, "second_pass": ALL}
    quiet = SmoothingNoise(scale=0.0, unit="rms", kept=False)
    kinds = {
        sam: Sam(kind="sam", **at),
        gsam: Gsam(kind="gsam", alpha=0.0, **at),
        vasso: Vasso(kind="vasso", theta=0.5, **at),
        satm: Satm(kind="satm", noise=quiet, **at),
    }
    climbed = Quadratic().evaluate(replace(synthetic, images_NCHW=images + ascent(images, h, RADIUS, unit)))
    for kind, rule in kinds.items():
        torch.testing.assert_close(found(kind, rule, Quadratic(), synthetic).gradients.images, climbed.gradients.images)
