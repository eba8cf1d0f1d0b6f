"""Every knob says what it is: in the registries, in the exported JSON Schema, and in `dcpipe params show`."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
from pydantic import TypeAdapter

import repository
from dcpipe.params import file_schema
from dcpipe.params.axis import AXES, AxisValue, load_values
from dcpipe.params.described import TYPED, descriptions, knob_descriptions, section_schema
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.strict_yaml import Tree, read_yaml

load_values()
VALUES = {(axis, kind): value for axis, base in AXES.items() for kind, value in base.registry.items()}


def test_every_knob_of_every_value_has_a_description(subtests: pytest.Subtests) -> None:
    assert len(VALUES) > 60
    for (axis, kind), value in VALUES.items():
        with subtests.test(axis=axis, kind=kind):
            described = descriptions(value)
            assert set(described) == set(value.__annotations__) - {"implementation"}, "knobs"
            assert all(described.values()), [name for name, text in described.items() if not text]


def test_every_kind_has_an_example_that_its_axis_accepts(subtests: pytest.Subtests) -> None:
    for (axis, kind), value in VALUES.items():
        with subtests.test(axis=axis, kind=kind):
            example = value.examples()[kind]
            made: AxisValue = TypeAdapter(AXES[axis]).validate_json(json.dumps(example.tree))
            assert isinstance(made, value)
            assert made.kind == kind
            assert {key.partition(".")[0] for key in example.changes} <= set(descriptions(value))


@pytest.mark.parametrize("section", TYPED)
def test_the_schema_describes_every_knob(section: str) -> None:
    whole = section_schema(section)
    for part in (whole, *whole["$defs"].values()):
        for name, knob in part["properties"].items():
            references = [json.dumps(one) for one in (knob, *knob.get("anyOf", ()))]
            named = [whole["$defs"][ref] for text in references for ref in re.findall(r'"#/\$defs/(\w+)"', text)]
            described = knob.get("description") or [one for one in named if one.get("description")]
            assert described or name == "kind", f"{part['title']}.{name}"


def test_the_schema_accepts_what_the_loader_accepts() -> None:
    library = ParamsLibrary(repository.ROOT)
    for resolved, section in (
        (library.method("satm-da", "tiny", 1)[0], "methods"),
        (library.dataset("tiny")[0], "datasets"),
        (library.experts("flat", "digits")[0], "experts"),
        (library.evaluation("digits", "tiny", 1)[0], "evaluations"),
        (library.experiment("tiny")[0], "experiments"),
    ):
        tree = resolved.tree()
        jsonschema.validate(tree, section_schema(section))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**tree, "no_such_knob": 1}, section_schema(section))


def test_show_describes_values_below_them() -> None:
    code, printed = repository.dcpipe(repository.ROOT, "params", "show", "tiny", "--describe")
    assert code == 0
    lines = [line.strip() for line in printed.splitlines()]
    (at,) = [index for index, line in enumerate(lines) if line.startswith("split.validation_per_class")]
    assert lines[at + 1] == "# images of each class cut from the training part; 0: none"
    plain = repository.dcpipe(repository.ROOT, "params", "show", "tiny")[1].splitlines()
    assert [line.strip() for line in plain] == [line for line in lines if not line.startswith("# ")]


def test_every_leaf_of_a_preset_is_described() -> None:
    resolved, config = ParamsLibrary(repository.ROOT).method("satm-da", "tiny", 1)
    assert set(resolved.leaves) <= set(knob_descriptions(config))


def test_the_schema_command_prints_json_and_refuses_other_sections() -> None:
    code, printed = repository.dcpipe(repository.ROOT, "params", "schema", "methods")
    assert code == 0
    assert json.loads(printed) == json.loads(json.dumps(section_schema("methods")))
    assert set(json.loads(repository.dcpipe(repository.ROOT, "params", "schema")[1])) == set(TYPED)
    code, printed = repository.dcpipe(repository.ROOT, "params", "schema", "method")
    assert code == 2
    assert "name one of datasets, experts, methods" in printed


def test_the_schema_for_editors_accepts_every_shipped_file(subtests: pytest.Subtests) -> None:
    for section in TYPED:
        validator = jsonschema.Draft202012Validator(file_schema.file_schema(section))
        validator.check_schema(validator.schema)
        files = [*(repository.ROOT / "params" / section).glob("*.yaml")]
        files += [*(repository.ROOT / "benchmarks").glob("*.yaml")] if section == "experiments" else []
        assert len(files) >= (4 if section == "applications" else 10)
        for path in files:
            with subtests.test(file=str(path.relative_to(repository.ROOT))):
                tree = read_yaml(path)
                validator.validate(tree)
                assert not validator.is_valid({**tree, "no_such_knob": 1})


@pytest.mark.parametrize(
    ("section", "tree", "accepted"),
    [
        ("methods", {"base": "mtt", "matching": {"segment": {"span_epochs": 3}}}, True),
        ("methods", {"base": "mtt", "matching": {"segment": {"span_epoch": 3}}}, False),
        ("methods", {"base": "mtt", "matching": {"segment": {"span_epochs": 0}}}, False),
        ("methods", {"base": "mtt", "outer": {"images": {"initial": "real"}}}, True),
        ("methods", {"base": "mtt", "outer": {"images": {"initial": "unreal"}}}, False),
        ("methods", {"base": "mtt", "overrides": {"tiny": {"ipc1": {"outer": {"iterations": 3}}}}}, True),
        ("methods", {"base": "mtt", "overrides": {"tiny": {"ipc1": {"outer": {"iteration": 3}}}}}, False),
        ("experts", {"base": "plain", "overrides": {"tiny": {"ipc1": {}}}}, False),
        ("datasets", {"base": "tiny", "overrides": {}}, False),
        ("datasets", {"base": "tiny", "name": "tiny"}, False),
        ("experiments", {"name": "mine", "presets": {"a": {"base": "mtt", "label": "A"}}}, True),
        ("experiments", {"presets": {"a": {"base": "mtt", "labels": "A"}}}, False),
        ("experiments", {"experts": {"a": {"base": "plain", "epochs": 0}}}, False),
    ],
)
def test_the_schema_for_editors_finds_what_is_misspelt(section: str, tree: Tree, accepted: bool) -> None:
    validator = jsonschema.Draft202012Validator(file_schema.file_schema(section))
    assert validator.is_valid(tree) is accepted


def test_schemas_for_editors_are_written_for_all_sections(tmp_path: Path) -> None:
    code, printed = repository.dcpipe(repository.ROOT, "params", "schema", "--to", str(tmp_path / "schema"))
    assert code == 0
    assert printed.splitlines() == [f"wrote {tmp_path}/schema/{section}.json" for section in TYPED]
    for section in TYPED:
        assert json.loads((tmp_path / f"schema/{section}.json").read_text()) == file_schema.file_schema(section)
    assert repository.dcpipe(repository.ROOT, "params", "schema", "methods", "--to", str(tmp_path))[0] == 2
