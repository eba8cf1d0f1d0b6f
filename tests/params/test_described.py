"""Every knob says what it is: in the registries, in the exported JSON Schema, and in `dcpipe params show`."""

import json
import re

import jsonschema
import pytest
from pydantic import TypeAdapter

import repository
from dcpipe.params.axis import AXES, AxisValue, load_values
from dcpipe.params.described import TYPED, descriptions, knobs, schema
from dcpipe.params.library import ParamsLibrary

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
    whole = schema(section)
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
        jsonschema.validate(tree, schema(section))
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**tree, "no_such_knob": 1}, schema(section))


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
    assert set(resolved.leaves) <= set(knobs(config))


def test_the_schema_command_prints_json_and_refuses_other_sections() -> None:
    code, printed = repository.dcpipe(repository.ROOT, "params", "schema", "methods")
    assert code == 0
    assert json.loads(printed) == json.loads(json.dumps(schema("methods")))
    assert set(json.loads(repository.dcpipe(repository.ROOT, "params", "schema")[1])) == set(TYPED)
    code, printed = repository.dcpipe(repository.ROOT, "params", "schema", "method")
    assert code == 2
    assert "name one of datasets, experts, methods" in printed
