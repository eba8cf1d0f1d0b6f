"""The printed numbers are those of the papers' tables."""

from itertools import product

from dcpipe.report.published import find_published_numbers, references

CIFAR10, CIFAR100, TINY = "cifar10", "cifar100", "tiny-imagenet"


PRINTED = {
    (CIFAR10, "random", 1): ["15.4 ± 0.3", "14.4 ± 2.0"],
    (CIFAR10, "mtt", 10): ["65.4 ± 0.7", "65.3 ± 0.7"],
    (CIFAR100, "mtt", 10): ["39.7 ± 0.4", "40.1 ± 0.4"],
    (CIFAR100, "ftd", 10): ["43.4 ± 0.3", "43.2 ± 0.3"],
    (TINY, "ftd", 1): ["10.4 ± 0.3", "10.0 ± 0.2"],
    (TINY, "ftd-no-ema", 10): ["24.1 ± 0.3"],
    (TINY, "dm", 50): ["24.1 ± 0.3"],
    (CIFAR10, "mct", 50): ["72.3 ± 0.3", "72.3"],
    (CIFAR100, "satm", 10): ["43.1 ± 0.5"],
    (TINY, "satm-fi", 1): ["11.7 ± 0.4"],
    (CIFAR10, "cafe-dsa", 50): ["62.3 ± 0.4"],
    (CIFAR100, "pp", 50): ["48.4 ± 0.3"],
    (CIFAR10, "mtt-robust", 50): ["72.7 ± 0.2"],
    ("imagemeow", "ftd", 10): ["43.3 ± 0.6"],
    ("imagewoof", "mtt", 10): ["35.8 ± 1.8"],
    ("mnist", "herding", 1): ["89.2 ± 1.6"],
    ("fashion-mnist", "gm-mdo", 50): ["87.9 ± 0.2"],
    ("svhn", "gm-md", 1): ["34.5 ± 1.9"],
    (CIFAR100, "gm-mda", 10): ["31.1 ± 0.3"],
    (CIFAR10, "gm-m", 1): ["29.5 ± 0.7", "29.7 ± 0.7"],
    ("svhn", "gm-interleaved", 10): ["75.4 ± 0.7"],
    ("svhn", "gm-m-angle-mean-squared", 1): ["34.0 ± 1.4"],
    ("svhn", "whole", 7): ["95.4 ± 0.1"],
}


def test_a_cell_has_the_numbers_that_the_tables_print() -> None:
    found = {cell: find_published_numbers(*cell) for cell in PRINTED}
    assert {cell: [number.text for number in row.numbers] for cell, row in found.items() if row} == PRINTED


def test_a_number_that_two_tables_print_is_one_with_both_sources() -> None:
    found = find_published_numbers(CIFAR10, "dc", 1)
    assert found is not None
    (number,) = found.numbers
    tables = ("FTD Table 1", "MCT Table 1", "GM Table 3 (tested as DC)", "GM Table 1 (tested as DC)")
    assert number.source == ", ".join(tables)
    assert {"FTD", "MCT", "GM"} <= set(references())


def test_a_whitened_variant_is_the_papers_dataset_a_subset_or_jpeg_is_not() -> None:
    assert find_published_numbers("cifar10-zca", "mtt", 1) == find_published_numbers(CIFAR10, "mtt", 1)
    assert find_published_numbers("cifar100-mtt", "mtt", 10) == find_published_numbers(CIFAR100, "mtt", 10)
    assert find_published_numbers("cifar10-small", "mtt", 1) is None
    assert find_published_numbers("cifar10-jpeg", "mtt", 1) is None


def test_what_no_table_prints_is_none() -> None:
    cells = [(CIFAR10, "mtt", 2), ("digits", "mtt", 1), (CIFAR100, "dc", 50), (TINY, "pp", 1)]
    assert [find_published_numbers(*cell) for cell in cells] == [None] * len(cells)


def test_every_main_table_cell_is_there() -> None:
    methods = ("random", "dm", "dsa", "cafe", "cafe-dsa", "pp", "mtt", "mtt-robust", "ftd", "mct", "satm", "satm-fi")
    assert all(find_published_numbers(*cell) for cell in product((CIFAR10, CIFAR100), methods, (1, 10, 50)))
