"""Laws of the outer axes in whole runs on tiny: what is left of them at their limits is the method they start from."""

from pathlib import Path

import pytest
from test_axes import made_with, same

import repository
from dcpipe.errors import UserError
from dcpipe.workflow.graph import Graph

WHOLE = {"steps": "1/1", "draws": "shared"}
NOISE = {"scale": 0.1, "unit": "rms", "kept": False}
SATM = {"kind": "satm", "radius": 0.5, "noise": NOISE, "second_pass": WHOLE}
CUT = {"kind": "truncated", "kept": "2/5", "micro_batch": None}
FIRST_ORDER = {
    "kind": "first-order",
    "initial": 0.05,
    "optimiser": {"kind": "sgd", "learning_rate": 1e-5, "momentum": 0.5},
    "unit": "plain",
    "largest_change": None,
}


def test_satm_without_radius_noise_or_cut_is_mtt_and_each_of_them_matters(tiny: Path) -> None:
    plain = made_with(tiny, "mtt")
    still = {**SATM, "radius": 0.0, "noise": {**NOISE, "scale": 0.0}}
    nothing_cut = {**CUT, "kept": "1/1"}
    limit: dict[str, object] = {"outer.sharpness": still, "matching.hypergradient": nothing_cut}
    assert same(made_with(tiny, "mtt", **limit), plain)
    for key, value in {
        "outer.sharpness": {**still, "radius": 0.5},
        "matching.hypergradient": CUT,
        "outer.step_size": FIRST_ORDER,
    }.items():
        assert not same(made_with(tiny, "mtt", **{**limit, key: value}), plain), key


def test_pp_at_threshold_zero_is_mtt(tiny: Path) -> None:
    plain = made_with(tiny, "mtt")
    assert same(made_with(tiny, "mtt", **{"outer.coordinates": {"kind": "pruned", "threshold": 0.0}}), plain)
    assert not same(made_with(tiny, "mtt", **{"outer.coordinates": {"kind": "pruned", "threshold": 0.1}}), plain)


def test_outer_sharpness_works_for_a_matching_without_students(tiny: Path) -> None:
    plain = made_with(tiny, "dc")
    sam = {"kind": "sam", "radius": 0.0, "second_pass": WHOLE}
    assert same(made_with(tiny, "dc", **{"outer.sharpness": sam}), plain)
    assert not same(made_with(tiny, "dc", **{"outer.sharpness": {**sam, "radius": 0.5}}), plain)


def test_fresh_draws_make_another_set_where_something_is_drawn(tiny: Path) -> None:
    shared = {"matching.inner_batch": 5, "outer.sharpness": SATM}
    fresh = {**shared, "outer.sharpness": {**SATM, "second_pass": {**WHOLE, "draws": "fresh"}}}
    found = [made_with(tiny, "mtt", **values) for values in (shared, fresh, fresh)]
    assert not same(found[0], found[1])
    assert same(found[1], found[2])


REFUSED = [
    (
        "mtt",
        {"matching.hypergradient": {**CUT, "kept": "1/6"}},
        "matching.hypergradient.kept: 1/6 of 5 inner steps is less than one; write at least 1/5",
    ),
    (
        "mtt",
        {"outer.sharpness": {**SATM, "second_pass": {**WHOLE, "steps": "1/6"}}},
        "outer.sharpness.second_pass.steps: 1/6 of 5 inner steps is less than one; write at least 1/5",
    ),
    (
        "mtt",
        {"matching.hypergradient": CUT, "outer.sharpness": {**SATM, "second_pass": {**WHOLE, "steps": "3/5"}}},
        "outer.sharpness.second_pass.steps: the second pass starts at step 2, but the first keeps only its last 2 "
        "steps; write at most 2 of the 5 inner steps, or 1/1 for all",
    ),
    (
        "mtt",
        {"outer.sharpness": {**SATM, "second_pass": {**WHOLE, "draws": "fresh"}}},
        "outer.sharpness.second_pass.draws: has no effect: with whole batches and no augmentation nothing is drawn; "
        "write shared",
    ),
    (
        "mtt",
        {"matching.hypergradient": {**CUT, "micro_batch": 10}},
        "matching.hypergradient.micro_batch: a micro-batch of 10 has no effect: an inner step's batch has 10 "
        "images; write null, or a smaller number",
    ),
    (
        "mtt",
        {"outer.sharpness": {**SATM, "second_pass": {**WHOLE, "steps": "3/2"}}},
        "outer.sharpness.second_pass.steps: a share of the inner steps is at most 1/1 (it is 3/2)",
    ),
    (
        "dc",
        {"outer.sharpness": {**SATM, "second_pass": {**WHOLE, "steps": "1/2"}}},
        "outer.sharpness.second_pass.steps: has no effect: this matching trains no students; write 1/1",
    ),
    (
        "dc",
        {"outer.sharpness": {**SATM, "second_pass": {**WHOLE, "draws": "fresh"}}},
        "outer.sharpness.second_pass.draws: has no effect: this matching trains no students; write shared",
    ),
    (
        "dc",
        {"outer.coordinates": {"kind": "pruned", "threshold": 0.1}},
        "outer.coordinates.kind: pruned has no effect here: it needs students, which gradient matching does not have; "
        "choose another kind",
    ),
    (
        "dc",
        {"outer.step_size": FIRST_ORDER},
        "outer.step_size.kind: first-order has no effect here: it needs students, which gradient matching does not "
        "have; choose another kind",
    ),
]


@pytest.mark.parametrize(("method", "values", "told"), REFUSED)
def test_what_cannot_be_or_would_have_no_effect_is_refused(
    method: str, values: dict[str, object], told: str, root: Path
) -> None:
    repository.set_params(root, f"methods/{method}.yaml", values)
    with pytest.raises(UserError) as caught:
        Graph(root).make_job("distill", dataset="tiny", method=method, ipc=1, set=0)
    assert str(caught.value) == f"params/methods/{method}.yaml: {told}"
