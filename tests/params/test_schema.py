"""Laws of validation: every key is needed, typed and bounded, and what is wrong is named by file and key."""

from collections.abc import Mapping
from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import schema
from dcpipe.params.dataset import Dataset
from dcpipe.params.evaluation import Evaluation
from dcpipe.params.experiment import Experiment
from dcpipe.params.experts import Experts
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.method import Method
from dcpipe.params.neutral import optional_knobs
from dcpipe.params.resolve import ResolvedSection
from dcpipe.params.value_origin import ResolvedValue, ValueOrigin

Section = tuple[ResolvedSection, type]


def _sections() -> dict[str, Section]:
    library = ParamsLibrary(repository.ROOT)
    return {
        "dataset": (library.dataset("tiny")[0], Dataset),
        "experts": (library.experts("plain", "tiny")[0], Experts),
        "mtt": (library.method("mtt", "tiny", 1)[0], Method),
        "random": (library.method("random", "tiny", 1)[0], Method),
        "evaluation": (library.evaluation("digits-val-best", "tiny", 1)[0], Evaluation),
        "experiment": (library.experiment("tiny")[0], Experiment),
    }


SECTIONS = _sections()
LEAVES = [(name, key) for name, (resolved, _) in SECTIONS.items() for key in resolved.leaves]
LATER = {
    (name, key)
    for name, key in LEAVES
    for one in optional_knobs(SECTIONS[name][1])
    if key == one or key.startswith(f"{one}.")
}
STATED = [leaf for leaf in LEAVES if leaf not in LATER]


def _with(resolved: ResolvedSection, leaves: Mapping[str, ResolvedValue | None]) -> ResolvedSection:
    merged = {**resolved.leaves, **leaves}
    return ResolvedSection({key: leaf for key, leaf in merged.items() if leaf is not None}, resolved.file)


def _refusal(resolved: ResolvedSection, kind: type) -> str:
    with pytest.raises(UserError) as caught:
        schema.validate(resolved, kind)
    return str(caught.value)


def test_no_key_has_a_default_but_those_that_came_later(subtests: pytest.Subtests) -> None:
    assert len(STATED) > 80
    for section, key in STATED:
        with subtests.test(section=section, key=key):
            resolved, kind = SECTIONS[section]
            line = _refusal(_with(resolved, {key: None}), kind)
            # where the missing key was the last of its mapping, the mapping is what is missing
            parts = (key, key.rpartition(".")[0])
            assert line.startswith(tuple(f"{resolved.file}: {part}: this key is missing" for part in parts))


def test_a_value_of_another_type_is_refused_where_it_stands(subtests: pytest.Subtests) -> None:
    for section, key in LEAVES:
        with subtests.test(section=section, key=key):
            resolved, kind = SECTIONS[section]
            origin = ValueOrigin("params/methods/elsewhere.yaml", f"overrides.tiny.{key}")
            # a list that may be null is a list all the same
            is_list = isinstance(resolved.leaves[key].value, list) or key == "application_runs"
            wrong = "text" if is_list else []
            line = _refusal(_with(resolved, {key: ResolvedValue(wrong, origin, None)}), kind)
            assert line.startswith(f"params/methods/elsewhere.yaml: overrides.tiny.{key}: ")


def test_an_unknown_key_is_refused_beside_every_known_one(subtests: pytest.Subtests) -> None:
    for section, key in LEAVES:
        with subtests.test(section=section, key=key):
            resolved, kind = SECTIONS[section]
            unknown = f"{key.rpartition('.')[0]}.zzz".lstrip(".")
            line = _refusal(
                _with(resolved, {unknown: ResolvedValue(1, ValueOrigin(resolved.file, unknown), None)}), kind
            )
            assert line == f"{resolved.file}: {unknown}: unknown key; remove it"


def test_a_misspelt_key_is_answered_with_the_right_one(subtests: pytest.Subtests) -> None:
    for section, key in STATED:
        with subtests.test(section=section, key=key):
            resolved, kind = SECTIONS[section]
            misspelt = f"{key}s"
            moved = ResolvedValue(resolved.leaves[key].value, ValueOrigin(resolved.file, misspelt), None)
            line = _refusal(_with(resolved, {key: None, misspelt: moved}), kind)
            if key.endswith(".kind"):  # which keys there are follows from the kind: it comes first
                assert line.startswith(f"{resolved.file}: {key}: ") or "unknown key" in line
            else:
                assert line.startswith(f"{resolved.file}: {misspelt}: unknown key (and 1 more); did you mean ")
                assert line.endswith(f" {key.rpartition('.')[2]}?")


WRONG = {
    ("mtt", "outer.iterations", 0): "outer.iterations: input should be greater than or equal to 1 (it is 0)",
    ("mtt", "outer.iterations", 2.5): "outer.iterations: input should be a valid integer (it is 2.5)",
    ("mtt", "outer.iterations", True): "outer.iterations: input should be a valid integer (it is true)",
    ("mtt", "outer.iterations", "6"): 'outer.iterations: input should be a valid integer (it is "6")',
    ("mtt", "outer.images.optimiser.momentum", 1.5): (
        "outer.images.optimiser.momentum: input should be less than or equal to 1 (it is 1.5)"
    ),
    ("mtt", "outer.images.optimiser.momentum", -0.1): (
        "outer.images.optimiser.momentum: input should be greater than or equal to 0 (it is -0.1)"
    ),
    ("mtt", "outer.images.optimiser.learning_rate", -1.0): (
        "outer.images.optimiser.learning_rate: input should be greater than or equal to 0 (it is -1.0)"
    ),
    ("mtt", "outer.images.optimiser.learning_rate", float("inf")): (
        "outer.images.optimiser.learning_rate: input should be a finite number (it is Infinity)"
    ),
    ("mtt", "outer.images.optimiser.learning_rate", "1e-5"): (
        'outer.images.optimiser.learning_rate: input should be a valid number (it is "1e-5")'
    ),
    ("mtt", "outer.images.initial", "reel"): (
        "outer.images.initial: there is no \"reel\"; choose one of 'correct', 'noise', 'real'"
    ),
    ("mtt", "outer.step_size.kind", "learnt"): (
        "outer.step_size.kind: there is no \"learnt\"; choose one of 'first-order', 'fixed', 'learned', 'logarithm'"
    ),
    ("mtt", "outer.images.optimiser", "adam"): (
        "outer.images.optimiser: adam needs values; "
        "write {kind: adam, learning_rate: ..., beta_1: ..., beta_2: ..., epsilon: ...}"
    ),
    ("mtt", "outer.images.optimiser", "adma"): (
        "outer.images.optimiser: there is no \"adma\"; choose one of 'adam', 'sgd'"
    ),
    ("mtt", "outer.labels", "hard"): "outer.labels: hard cannot be written in short form here; write {kind: hard}",
    ("mtt", "matching.hypergradient.kept_graphs", "budget"): (
        "matching.hypergradient.kept_graphs: budget needs values; write {kind: budget, megabytes: ...}"
    ),
    ("mtt", "outer", None): "write outer: null for a coreset, and the values of outer for every other matching",
    ("mtt", "matching.experts", "Plain"): (
        "matching.experts: string should match pattern '^[a-z0-9]+(-[a-z0-9]+)*$' (it is \"Plain\")"
    ),
    ("experts", "kept_epochs", "0-"): (
        "kept_epochs: string should match pattern '^(all|[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*)$' (it is \"0-\")"
    ),
    (
        "dataset",
        "network",
        "native",
    ): "network: native means the dataset's own network: write its name, such as convnet3",
}


def test_a_bad_value_is_refused_in_these_words(subtests: pytest.Subtests) -> None:
    for (section, key, value), expected in WRONG.items():
        with subtests.test(section=section, key=key, value=value):
            resolved, kind = SECTIONS[section]
            inside = {name: None for name in resolved.leaves if name.startswith(f"{key}.")}
            line = _refusal(
                _with(resolved, {**inside, key: ResolvedValue(value, ValueOrigin("f.yaml", key), None)}), kind
            )
            assert line in (f"f.yaml: {expected}", f"{resolved.file}: {expected}")


def test_an_element_of_a_list_is_named_where_the_list_stands(root: Path) -> None:
    repository.set_params(
        root, "datasets/digits.yaml", {"standardise": {"kind": "constants", "mean": [0.1], "std": [0.0]}}
    )
    with pytest.raises(UserError) as caught:
        ParamsLibrary(root).dataset("tiny")
    told = "params/datasets/digits.yaml: standardise.std.0: input should be greater than 0 (it is 0.0)"
    assert str(caught.value) == told
