"""Laws of the strict YAML reader: what a file says is what is read, and nothing is silently accepted."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import repository
from dcpipe.errors import UserError
from dcpipe.params import strict_yaml
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.strict_yaml import parse_yaml, read_yaml

FLOATS = {
    "1e-5": 1e-5, "1E-5": 1e-5, "1.e-5": 1e-5, "1.0e-5": 1e-5, "+1.0e-05": 1e-5, "2e-05": 2e-5, "-1e3": -1e3,
    ".5": 0.5, "5.": 5.0, "0.5": 0.5, "-0.0": 0.0, "1e+16": 1e16,
}  # fmt: skip
TEXTS = ["no", "off", "yes", "on", "y", "NO", "1:30", "0x10", "0o17", "1_000", ".inf", ".nan", "2001-01-01", "=", "1e"]


def test_every_way_of_writing_a_float_is_that_float() -> None:
    found = {written: parse_yaml(f"x: {written}", "here")["x"] for written in FLOATS}
    assert found == FLOATS
    assert {type(value) for value in found.values()} == {float}


def test_every_way_of_writing_a_float_reaches_a_float_field(root: Path) -> None:
    path = root / "params/methods/mtt.yaml"
    shipped, found = path.read_text(), {}
    for written in (all_of_them := ("1e-5", "1E-5", "1.e-5", ".5", "5", "+1.0e-05", "2e-05")):
        path.write_text(shipped.replace("learning_rate: 50.0", f"learning_rate: {written}"))
        _, method = ParamsLibrary(root).method("mtt", "tiny", 1)
        assert method.outer is not None
        found[written] = method.outer.images.optimiser.learning_rate
    assert found == {written: float(written) for written in all_of_them}
    assert {type(value) for value in found.values()} == {float}


def _both_ways(text: str, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What libyaml makes of a text, and what PyYAML does: a tree, or what is told."""
    found: list[object] = []
    for available in (True, False):
        monkeypatch.setattr(yaml, "__with_libyaml__", available)
        strict_yaml._loaded.cache_clear()
        try:
            found.append(parse_yaml(text, "here"))
        except UserError as error:
            found.append(str(error))
    return found


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
def test_libyaml_reads_every_shipped_file_as_pyyaml_does(monkeypatch: pytest.MonkeyPatch) -> None:
    files = [*(repository.ROOT / "params").rglob("*.yaml"), *(repository.ROOT / "src").rglob("*.yaml")]
    assert len(files) > 150
    for path in files:
        ours, pyyamls = _both_ways(path.read_text(), monkeypatch)
        assert ours == pyyamls
        assert isinstance(ours, dict)


BAD = [
    *("a: [1,2", "{a: 1", "a: 1\na: 2", "a:\tb: c", "a: b: c", "a: 'x", "1: a", "<<: {a: 1}", "? [a]\n: 1"),
    *(
        "[" * 3000,
        "- " * 3000,
        "? " * 2000,
        "a: &x [*x]",
        "a: !!binary x",
        "\1: 2",
        "%YAML 9.9\n---\na: 1",
        "a: \ud800",
    ),
]


@pytest.mark.skipif(not yaml.__with_libyaml__, reason="PyYAML was built without libyaml")
@pytest.mark.parametrize("text", BAD, ids=lambda text: repr(text)[:24])
def test_what_is_refused_is_told_in_the_same_words(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours, pyyamls = _both_ways(text, monkeypatch)
    assert ours == pyyamls
    assert isinstance(ours, str)


@settings(derandomize=True)
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_back_as_python_and_pyyaml_write_it(value: float) -> None:
    assert parse_yaml(f"x: {value!r}", "here")["x"] == value
    assert parse_yaml(yaml.safe_dump({"x": value}), "here")["x"] == value


def test_what_only_looks_like_a_value_stays_text() -> None:
    assert [parse_yaml(f"x: {written}", "here")["x"] for written in TEXTS] == TEXTS


def test_only_true_and_false_are_booleans_and_integers_stay_integers() -> None:
    tree = parse_yaml("a: true\nb: False\nc: 010\nd: -3\ne: null\nf: ~\ng:\nh: 'true'\ni: '1e-5'", "here")
    assert list(tree.values()) == [True, False, 10, -3, None, None, None, "true", "1e-5"]
    assert [type(value) for value in tree.values()][:4] == [bool, bool, int, int]


REFUSED = {
    "a: 1\nb: 2\na: 3": "line 3: duplicate key 'a'",
    "x:\n  a: 1\n  a: 1": "line 3: duplicate key 'a'",
    "1: a": "line 1: key '1' is not text",
    "a: 1\n2.5: a": "line 2: key '2.5' is not text",
    "true: a": "line 1: key 'true' is not text",
    "~: a": "line 1: key '~' is not text",
    "[a]: b": "line 1: key (a list or mapping) is not text",
    "a: &x {b: 1}\nc:\n  <<: *x": "line 3: key '<<' is not text",
    "a: [1": "line 1: expected ',' or ']', but got '<stream end>'",
    "a: b: c": "line 1: mapping values are not allowed here",
    "a: 1\n\tb: 2": "line 2: found character '\\t' that cannot start any token",
    "a: 1\n---\nb: 2": "line 2: but found another document",
    "a: &x [*x]": "line 1: found unconstructable recursive node",
    "a: *nowhere": "line 1: found undefined alias 'nowhere'",
    "a: \x07": "unacceptable character #x0007: special characters are not allowed",
    "a: !!float abc": "line 1: 'abc' cannot be read as a number",
    "a: !!int abc": "line 1: 'abc' cannot be read as a whole number",
    f"a: {'9' * 5000}": f"line 1: '{'9' * 20}...' cannot be read as a whole number",
    "a: !!timestamp 2001-01-01": (
        "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:timestamp'"
    ),
    "a: !!python/name:os.system ''": (
        "line 1: could not determine a constructor for the tag 'tag:yaml.org,2002:python/name:os.system'"
    ),
}


def test_what_is_not_plain_yaml_is_refused_with_its_file_and_line(subtests: pytest.Subtests) -> None:
    for text, line in REFUSED.items():
        with subtests.test(text=text[:40]):
            with pytest.raises(UserError) as caught:
                parse_yaml(text, "params/x.yaml")
            assert str(caught.value) == f"params/x.yaml: not valid YAML: {line}; correct the file"


def test_a_file_that_is_no_mapping_is_refused(subtests: pytest.Subtests) -> None:
    for text in ("", "- a\n", "plain", "3", "# a remark"):
        with (
            subtests.test(text=text),
            pytest.raises(UserError, match=r"^params/x\.yaml: is not a mapping of keys to values; "),
        ):
            parse_yaml(text, "params/x.yaml")


def test_a_file_that_cannot_be_read_is_refused_by_name(tmp_path: Path) -> None:
    latin = tmp_path / "latin.yaml"
    latin.write_bytes("a: \u00fc".encode("latin-1"))
    for path, reason in ((tmp_path / "none.yaml", "No such file or directory"), (latin, "not UTF-8 text")):
        with pytest.raises(UserError) as caught:
            read_yaml(path)
        assert str(caught.value) == f"{path}: cannot be read ({reason}); name a readable UTF-8 file"


def _floats_that_pyyaml_reads_as_text(text: str) -> list[str]:
    nodes, found = [yaml.compose(text, Loader=yaml.SafeLoader)], []
    while nodes:
        node = nodes.pop()
        if not isinstance(node, yaml.ScalarNode):
            nodes += [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
        elif node.style is None and node.tag == "tag:yaml.org,2002:str" and ":" not in node.value:
            found += [node.value] if isinstance(parse_yaml(f"x: {node.value}", "here")["x"], float) else []
    return found


def test_no_committed_file_has_a_float_that_pyyaml_reads_as_text() -> None:
    assert _floats_that_pyyaml_reads_as_text("a: {b: [1e-5, 1.0e-5]}\nc: 1.e5") == ["1.e5", "1e-5"]
    files = [path for folder in ("params", "profiles") for path in (repository.ROOT / folder).rglob("*.yaml")]
    assert len(files) > 10
    assert {str(path): _floats_that_pyyaml_reads_as_text(path.read_text()) for path in files} == {
        str(path): [] for path in files
    }
