"""Laws of resolution: who wins, what a kind replaces, where a value stands, and which overrides are refused."""

from pathlib import Path

import pytest
import yaml

import repository
from dcpipe.errors import UserError
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.resolve import ResolvedSection, base_chain, resolve_section
from dcpipe.params.value_origin import ValueOrigin

LAYERS = [  # from the weakest to the strongest: a file, and where in it the value stands
    (file, place)
    for file in ("base", "variant")
    for place in ("rate", *(f"overrides.{name}.rate" for name in ("digits", "digits.ipc1", "small", "small.ipc1")))
]
CONTEXT = ("digits", "digits.ipc1", "small", "small.ipc1")


def _write(root: Path, file: str, text: str, section: str = "methods") -> None:
    path = root / "params" / section / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _found(root: Path, text: str, context: tuple[str, ...] = ()) -> ResolvedSection:
    _write(root, "x.yaml", text)
    return resolve_section(root, "methods", "x", context=context)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    _write(tmp_path, "digits.yaml", "network: a", "datasets")
    _write(tmp_path, "small.yaml", "base: digits", "datasets")
    return tmp_path


def test_base_yields_to_dataset_yields_to_ipc_yields_to_variant(root: Path, subtests: pytest.Subtests) -> None:
    trees: dict[str, dict[str, object]] = {"base": {"rate": "never", "seed": 0}, "variant": {"base": "base"}}
    for strongest, place in LAYERS:  # each is added to those below it
        with subtests.test(strongest=strongest, place=place):
            *parents, last = place.split(".")
            node = trees[strongest]
            for parent in parents:
                node = node.setdefault(parent, {})
            node[last] = f"{strongest} {place}"
            for file, tree in trees.items():
                _write(root, f"{file}.yaml", yaml.safe_dump(tree))
            found = resolve_section(root, "methods", "variant", context=CONTEXT).leaves["rate"]
            assert found.value == f"{strongest} {place}"
            assert found.origin == ValueOrigin(f"params/methods/{strongest}.yaml", place)


def test_an_override_for_another_dataset_or_ipc_changes_nothing(root: Path) -> None:
    text = "rate: 1\noverrides: {small: {rate: 2, ipc10: {rate: 3}}, digits: {ipc2: {rate: 4}}}"
    assert _found(root, text, ("digits", "digits.ipc1")).tree() == {"rate": 1}
    assert _found(root, text, ("small", "small.ipc1")).tree() == {"rate": 2}
    assert _found(root, text, ("small", "small.ipc10")).tree() == {"rate": 3}


def test_a_mapping_with_a_kind_replaces_its_section_another_changes_keys(root: Path) -> None:
    base = "seed: 0\nstep: {kind: learned, rate: 1, momentum: 2}\n"
    assert _found(root, base + "overrides: {digits: {step: {rate: 3}}}", ("digits",)).tree() == {
        "seed": 0,
        "step": {"kind": "learned", "rate": 3, "momentum": 2},
    }
    replaced = _found(root, base + "overrides: {digits: {step: {kind: fixed, initial: 4}}}", ("digits",))
    assert replaced.tree() == {"seed": 0, "step": {"kind": "fixed", "initial": 4}}
    assert replaced.leaves["step.initial"].origin.key == "overrides.digits.step.initial"


def test_a_value_takes_the_source_with_the_longest_matching_prefix(root: Path) -> None:
    text = """
        a: {b: 1, bb: 2, c: {d: 3}}
        e: 4
        overrides: {digits: {e: 5}}
        sources: {all: paper, a: table, a.b: row, overrides.digits: ours}
    """
    sources = {key: leaf.source for key, leaf in _found(root, text, ("digits",)).leaves.items()}
    assert sources == {"a.b": "row", "a.bb": "table", "a.c.d": "table", "e": "ours"}


def test_a_variant_names_the_files_it_was_read_from(root: Path) -> None:
    _write(root, "base.yaml", "rate: 1")
    found = _found(root, "base: base")
    assert found.files == ("params/methods/x.yaml", "params/methods/base.yaml")
    assert base_chain(root, "datasets", "small") == ("digits", "small")


REFUSED = {
    "a: 1\noverrides: {digit: {a: 2}}": "overrides.digit: there is no such dataset; did you mean digits?",
    "a: 1\noverrides: {mnist: {a: 2}}": "overrides.mnist: there is no such dataset; there are: digits, small",
    "a: 1\noverrides: {digits: {ipc01: {a: 2}}}": "overrides.digits.ipc01: not an ipc; write ipc1, ipc10, ...",
    "a: 1\noverrides: {digits: {ipc: {a: 2}}}": "overrides.digits.ipc: not an ipc; write ipc1, ipc10, ...",
    "rate: 1\noverrides: {digits: {raet: 2}}": "unknown key overrides.digits.raet; did you mean rate?",
    "rate: 1\noverrides: {digits: {ipc1: {b: 2}}}": "unknown key overrides.digits.ipc1.b; known keys: rate",
    "sgd: {kind: a, momentum: 1}\noverrides: {digits: {sgd: {nesterov: 2}}}": (
        "unknown key overrides.digits.sgd.nesterov; known keys of sgd: kind, momentum"
    ),
    "sgd: {kind: a, momentum: 1}\noverrides: {digits: {sgb: {momentum: 2}}}": (
        "unknown key overrides.digits.sgb.momentum; did you mean sgd?"
    ),
    "rate: 1\noverrides: {digits: {rate: {b: 2}}}": (
        "unknown key overrides.digits.rate.b; rate has no keys below it: write one value"
    ),
    "a: 1\noverrides: {digits: {b: {kind: x}}}": "unknown key overrides.digits.b; name a section that the base has",
    "a: {b: 1}\noverrides: {digits: {a: 2}}": "unknown key overrides.digits.a; a has keys below it: write them",
    "a: 1\noverrides: {digits: 2}": "overrides.digits must be a mapping; write KEY: VALUE lines below it",
    "a: 1\noverrides: {digits: {ipc1: 2}}": "overrides.digits.ipc1 must be a mapping; write KEY: VALUE lines below it",
    "a: 1\noverrides: [digits]": "overrides must be a mapping of datasets; write DATASET: and its values below",
    "a: 1\nsources: paper": "sources must map keys to texts; write for example {matching: MTT}",
    "a: 1\nsources: {a: 3}": "sources must map keys to texts; write for example {matching: MTT}",
    "a.b: 1": "a.b: a key cannot contain a dot; write nested mappings",
    "a: 1\nbase: 3": "base must be the name of a file; write a name such as mtt",
    "a: 1\nbase: x": "base: x leads back to itself; name another base",
}


def test_a_misplaced_key_is_refused_with_its_file_and_key(root: Path, subtests: pytest.Subtests) -> None:
    for text, line in REFUSED.items():
        with subtests.test(text=text):
            with pytest.raises(UserError) as caught:
                _found(root, text, ("digits", "digits.ipc1"))
            assert str(caught.value) == f"params/methods/x.yaml: {line}"


def test_a_name_without_a_file_is_refused_with_the_nearest_one(root: Path) -> None:
    with pytest.raises(UserError) as caught:
        resolve_section(root, "datasets", "digit")
    told = "params/datasets/digit.yaml: there is no datasets file named 'digit'; did you mean digits?"
    assert str(caught.value) == told


def test_sections_that_take_no_overrides_refuse_them(root: Path) -> None:
    _write(root, "y.yaml", "a: 1\noverrides: {digits: {a: 2}}", "datasets")
    with pytest.raises(UserError, match=r"^params/datasets/y\.yaml: overrides: datasets cannot have overrides; "):
        resolve_section(root, "datasets", "y")
    _write(root, "y.yaml", "a: 1\noverrides: {digits: {ipc1: {a: 2}}}", "experts")
    with pytest.raises(
        UserError, match=r"^params/experts/y\.yaml: overrides\.digits\.ipc1: experts do not depend on ipc; "
    ):
        resolve_section(root, "experts", "y", context=("digits",))


def test_a_value_in_short_and_one_in_full_replace_each_other(tmp_path: Path) -> None:
    params, full = repository.copy_params(tmp_path), {"kind": "noise"}
    for name, base, initial in (("in-full", "mtt", full), ("in-short", "in-full", "real")):
        text = yaml.safe_dump(
            {"base": base, "description": "x", "label": "x", "outer": {"images": {"initial": initial}}}
        )
        (params / f"params/methods/{name}.yaml").write_text(text)
    kinds = {}
    for name in ("mtt", "in-full", "in-short"):
        outer = ParamsLibrary(params).method(name, "tiny", 1)[1].outer
        assert outer is not None
        kinds[name] = outer.images.initial.kind
    assert kinds == {"mtt": "real", "in-full": "noise", "in-short": "real"}


def test_a_circle_of_bases_is_told_of_the_file_that_closes_it(tmp_path: Path) -> None:
    for name, base in (("a", "b"), ("b", "c"), ("c", "b")):
        (tmp_path / "params/methods").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"params/methods/{name}.yaml").write_text(f"base: {base}\n")
    with pytest.raises(UserError) as caught:
        base_chain(tmp_path, "methods", "a")
    assert str(caught.value) == "params/methods/c.yaml: base: b leads back to this file; change it"
