"""Laws of `covers` and `inherits`: which cells a source states, and what a replaced section keeps."""

from pathlib import Path

import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params import resolve
from dcpipe.params.coverage import applied_override, coverage
from dcpipe.params.library import ParamsLibrary


def _write(root: Path, name: str, text: str) -> None:
    (root / f"params/methods/{name}.yaml").write_text(text)


def test_a_variant_covers_what_its_base_covers_unless_it_says(root: Path) -> None:
    _write(root, "mtt-here", "base: mtt\ndescription: ours\nlabel: ours\n")
    _write(root, "mtt-there", "base: mtt\ndescription: ours\nlabel: ours\ncovers: {digits: all}\n")
    here, there = coverage(root, "mtt-here"), coverage(root, "mtt-there")
    assert here == coverage(root, "mtt")
    assert (here.covers("cifar10-zca", 10), here.covers("cifar10-zca", 50), here.covers("digits", 1)) == (1, 0, 0)
    assert (there.covers("cifar10-zca", 10), there.covers("digits", 7)) == (False, True)
    assert coverage(root, "whole").covers("birds", 3)  # real images have no values to state


def test_a_list_that_is_no_list_of_cells_is_refused(root: Path) -> None:
    for wrong, problem in (
        ("[1]", "must map datasets"),
        ("{cifra10: [1]}", "no dataset 'cifra10'"),
        ("{digits: [0]}", "not a list of images per class"),
        ("{digits: []}", "not a list of images per class"),
    ):
        _write(root, "mtt-there", f"base: mtt\ndescription: ours\nlabel: ours\ncovers: {wrong}\n")
        with pytest.raises(UserError, match=f"methods/mtt-there.yaml: covers.*{problem}"):
            coverage(root, "mtt-there")


def test_values_come_from_the_most_special_override() -> None:
    library = ParamsLibrary(repository.ROOT)
    cells = {("cifar10-zca", 1): "cifar10-zca, ipc 1", ("cifar10-zca", 50): "cifar10, ipc 50", ("mnist", 1): "mtt"}
    cells |= {("tiny-imagenet-zca", 10): "tiny-imagenet, ipc 10", ("cifar100-zca", 10): "cifar100-zca"}
    assert {cell: applied_override(library.method("mtt", *cell)[0]) or "mtt" for cell in cells} == cells


def test_a_replaced_section_keeps_what_it_inherits_for_each_ipc() -> None:
    for dataset in ("cifar10-zca", "cifar100-zca", "tiny-imagenet-zca", "digits"):
        for ipc in (1, 10, 50):
            context = (dataset.removesuffix("-zca"), dataset, f"{dataset}.ipc{ipc}")
            found, base = (
                resolve.resolve_section(repository.ROOT, "methods", name, context=context).leaves
                for name in ("mct", "mct-discrete")
            )
            for key in ("max_start_epoch", "span_epochs"):
                assert found[f"matching.segment.{key}"] == base[f"matching.segment.{key}"]
            assert "matching.segment.min_start_epoch" not in found


def test_inheriting_what_is_not_there_or_stated_is_refused(root: Path) -> None:
    for segment, problem in (
        ("{kind: continuous, inherits: [span], max_start_epoch: 2, span_epochs: 2}", "not in the section"),
        ("{kind: continuous, inherits: [span_epochs], max_start_epoch: 2, span_epochs: 2}", "is stated here, too"),
        ("{kind: continuous, inherits: span_epochs}", "must be a list"),
        ("{inherits: [span_epochs]}", "unknown key matching.segment.inherits"),
    ):
        _write(root, "mct-there", f"base: mct-discrete\ndescription: a\nlabel: a\nmatching: {{segment: {segment}}}\n")
        with pytest.raises(UserError, match=problem):
            resolve.resolve_section(root, "methods", "mct-there")
