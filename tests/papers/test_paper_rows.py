"""Each row that a paper prints resolves to what its source says: beside a table typed by hand."""

from collections import Counter
from dataclasses import asdict

import printed
import pytest

import repository
from dcpipe.errors import UserError
from dcpipe.params.evaluation import AugmentationConfig
from dcpipe.params.experts import Experts
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.method import Method
from dcpipe.params.strict_yaml import Tree
from dcpipe.report import rows
from dcpipe.report.published import published_cells, table_params
from dcpipe.report.rows import PlannedRow

ROOT = repository.ROOT
LIBRARY = ParamsLibrary(ROOT, dict(table_params()))


def _planned(name: str) -> PlannedRow:
    (row,) = rows.reproduction(ROOT, rows.find_row(ROOT, name)).rows
    return row


def _method(found: PlannedRow) -> Method:
    return LIBRARY.method(found.row.method, found.dataset, found.row.ipc or 1)[1]


def _experts(found: PlannedRow) -> Experts:
    return LIBRARY.experts(str(_method(found).matching.experts_name), found.dataset)[1]


def _students(found: PlannedRow) -> printed.Students:
    tree = asdict(_method(found))
    matching, outer = tree["matching"], tree["outer"]
    segment, step = matching["segment"], outer["step_size"]
    rates = outer["images"]["optimiser"]["learning_rate"], step["optimiser"]["learning_rate"]
    steps = matching["inner_steps"], segment["span_epochs"], segment["max_start_epoch"], matching["inner_batch"]
    return printed.Students(found.dataset, *steps, *rates, step["initial"])


def test_trajectory_rows_have_their_tables_values(subtests: pytest.Subtests) -> None:
    for name, table in printed.TRAJECTORY_TABLES.items():
        for (dataset, ipc), line in table.items():
            with subtests.test(row=f"{name}-{dataset}-ipc{ipc}"):
                found = _planned(f"{name}-{dataset}-ipc{ipc}")
                outer = _method(found).outer
                assert _students(found) == line
                assert outer is not None
                assert outer.iterations == printed.ITERATIONS.get(name, 5000)
                assert outer.labels.kind == "hard"
                assert LIBRARY.dataset(found.dataset)[1].network == printed.NETWORKS[dataset]


def test_experts_are_plain_ones_or_ftds_with_alpha_by_ipc(subtests: pytest.Subtests) -> None:
    flat = {"ftd": "flat", "ftd-no-ema": "flat", "satm-fi": "flat"}
    for name, table in printed.TRAJECTORY_TABLES.items():
        for cell in table:
            with subtests.test(row=f"{name}-{cell[0]}-ipc{cell[1]}"):
                experts = _experts(_planned(f"{name}-{cell[0]}-ipc{cell[1]}"))
                assert (experts.count, experts.epochs, experts.batch, experts.learning_rate) == (100, 50, 256, 0.01)
                assert (experts.momentum, experts.weight_decay, experts.augmentation) == (0, 0, printed.FULL_DSA)
                expected: Tree = {"kind": "none"}
                if name in flat:  # adaptive: FTD's public code; its paper's plain ball is the preset ftd-ball
                    alpha = printed.FTD_ALPHA[cell]
                    expected = {"kind": "gsam", "radius": 0.01, "alpha": alpha, "adaptive": True}
                assert asdict(experts.sharpness) == expected


def test_ftds_plain_ball_differs_in_the_ball_alone(subtests: pytest.Subtests) -> None:
    for dataset, ipc in printed.FTD:
        with subtests.test(cell=f"{dataset}-ipc{ipc}"):
            found = _planned(f"ftd-{dataset}-ipc{ipc}")
            _, ball = LIBRARY.method("ftd-ball", found.dataset, ipc)
            names = asdict(_method(found)) | {"label": "", "description": ""}
            assert names | {"matching": {}} == asdict(ball) | {"label": "", "description": "", "matching": {}}
            flat, plain = _experts(found), LIBRARY.experts(str(ball.matching.experts_name), found.dataset)[1]
            assert asdict(plain.sharpness) == asdict(flat.sharpness) | {"adaptive": False}
            assert asdict(plain) | {"description": "", "sharpness": {}} == asdict(flat) | {
                "description": "",
                "sharpness": {},
            }


def test_ftd_averages_its_images_by_table_7(subtests: pytest.Subtests) -> None:
    for (dataset, ipc), decay in printed.FTD_DECAY.items():
        with subtests.test(cell=f"{dataset}-ipc{ipc}"):
            outer = asdict(_method(_planned(f"ftd-{dataset}-ipc{ipc}")))["outer"]
            ema = {"kind": "ema", "decay": decay, "of_iterations": 5000, "keep_unaveraged": False}
            assert outer["averaging"] == ema


def test_mct_draws_real_times_on_paths_with_two_waypoints(subtests: pytest.Subtests) -> None:
    for dataset, ipc in printed.MCT:
        with subtests.test(cell=f"{dataset}-ipc{ipc}"):
            matching = asdict(_method(_planned(f"mct-{dataset}-ipc{ipc}")))["matching"]
            assert matching["path"] == {"kind": "convex", "waypoints": printed.MCT_WAYPOINTS[dataset]}
            assert matching["segment"]["kind"] == "continuous"


def _gradients(found: PlannedRow) -> printed.Gradients:
    tree = asdict(_method(found))
    matching, images = tree["matching"], tree["outer"]["images"]
    magnitude = matching["distance"]["magnitude"]
    return printed.Gradients(
        matching["updates"]["count"],
        matching["training"]["count"] if matching["training"]["kind"] == "epochs" else None,
        images["optimiser"]["learning_rate"],
        images["initial"]["kind"] if isinstance(images["initial"], dict) else images["initial"],
        matching["augmentation"],
        matching["levels"]["kind"],
        matching["distance"]["angle"],
        None if magnitude["kind"] == "none" else (magnitude["kind"], magnitude["weight"]),
    )


def test_gradient_rows_have_their_tables_values(subtests: pytest.Subtests) -> None:
    for name, cells in printed.GRADIENT_CELLS.items():
        for dataset, ipc in sorted(cells):
            with subtests.test(row=f"{name}-{dataset}-ipc{ipc}"):
                suffix = "-gm" if (name, dataset) == ("dc", printed.TINY) else ""  # the baseline that GM ran itself
                found = _planned(f"{name}-{dataset}-ipc{ipc}{suffix}")
                assert found.dataset == dataset  # standardised, not whitened
                assert _gradients(found) == printed.gradients(name, dataset, ipc)
                tree = asdict(_method(found))
                outer = tree["outer"]
                assert (outer["iterations"], tree["matching"]["real_batch"]) == (1000, 256)
                assert (outer["images"]["optimiser"]["momentum"], outer["step_size"]["initial"]) == (0.5, 0.01)
                if name == "gm-mda":
                    assert tree["matching"]["training"]["counts"] == printed.SCHEDULE


def test_dm_rows_make_20000_iterations_on_the_papers_images(subtests: pytest.Subtests) -> None:
    for dataset, ipc in sorted(printed.DM_CELLS):
        with subtests.test(cell=f"{dataset}-ipc{ipc}"):
            found = _planned(f"dm-{dataset}-ipc{ipc}")
            tree = asdict(_method(found))
            optimiser = tree["outer"]["images"]["optimiser"]
            assert (found.dataset, tree["outer"]["iterations"], optimiser["learning_rate"]) == (dataset, 20_000, 1.0)
            assert (tree["matching"]["real_batch"], optimiser["momentum"]) == (256, 0.5)
            assert tree["matching"]["augmentation"] == printed.FULL_DSA


def test_rows_are_tested_as_their_papers_test(subtests: pytest.Subtests) -> None:
    for name, row in rows.published_rows().items():
        refused = _refusal(name)
        if refused or row.method in {"random", "whole"} or row.network != printed.NETWORKS[row.dataset]:
            continue
        if row.protocol.startswith("mtt-flat-minimum") or name == "dc-tiny-imagenet-ipc1-gm":
            continue
        usual = printed.TESTED_AS.get(row.method, "gm" if row.method.startswith("gm-") else "mtt")
        with subtests.test(row=name):
            assert _test(_planned(name)) == _expected_test(usual, row.dataset)


def _expected_test(usual: str, dataset: str) -> printed.Test:
    expected = printed.TESTS[usual]
    if dataset == "mnist" and usual in {"dc", "gm"}:  # GM: as DC
        return expected._replace(epochs=1000, augmentation=printed.DC_ON_MNIST)
    return expected


def _test(found: PlannedRow) -> printed.Test:
    config = LIBRARY.evaluation(found.protocol, found.dataset, found.row.ipc or 1)[1]
    assert (config.batch, config.momentum, config.weight_decay, config.decay) == (256, 0.9, 5e-4, 0.1)
    rate, selection = config.learning_rate.constant_rate, config.selection.kind
    return printed.Test(config.epochs, config.networks, found.sets, rate, _short(config.augmentation), selection)


def _short(augmentation: AugmentationConfig) -> str:
    """An augmentation as protocols write it in one word."""
    written = asdict(augmentation)
    kind, (values,) = written.pop("kind"), written.values() or ("",)
    return {"none": kind, "dsa": values, "one-of": "-".join((kind, *values))}[kind]


def test_random_images_are_tested_in_both_papers_ways() -> None:
    for name, (usual, number) in printed.RANDOM.items():
        found = _planned(name)
        assert _test(found)[0] == printed.TESTS[usual].epochs
        assert _test(found)[4:] == printed.TESTS[usual][4:]
        assert [one.text for one in found.row.numbers] == [number]


def test_every_table_has_all_its_numbers() -> None:
    assert Counter(cell.table for cell in published_cells()) == printed.NUMBERS


def test_numbers_of_ablations_stand_at_their_settings(subtests: pytest.Subtests) -> None:
    for experts, texts in printed.MCT_2.items():
        for kind, text in zip(("discrete", "continuous"), texts, strict=True):
            with subtests.test(table="mct-2", experts=experts, kind=kind):
                found = _planned(f"mct-{kind}-range-5-experts-{experts}-cifar10-ipc10")
                matching = asdict(_method(found))["matching"]
                segment = matching["segment"]
                assert [one.text for one in found.row.numbers] == [text]
                assert (matching["max_experts"], matching["inner_steps"]) == (experts, 50)
                assert (segment["max_start_epoch"], segment["kind"]) == (
                    5,
                    "continuous" if kind == "continuous" else "fixed",
                )
    for span, texts in printed.MCT_3.items():
        for ipc, text in zip((1, 10, 50), texts, strict=True):
            with subtests.test(table="mct-3", span=span, ipc=ipc):
                best = {1: 5, 10: 6, 50: 6}[ipc] == span
                found = _planned(f"{'mct' if best else f'mct-span-{span}'}-cifar10-ipc{ipc}")
                expected = printed.MCT[printed.C10, ipc]._replace(span=span)
                assert _students(found) == expected
                assert text in [one.text for one in found.row.numbers]


def test_numbers_on_other_networks_stand_beside_those(subtests: pytest.Subtests) -> None:
    for network, methods in printed.FTD_3.items():
        for method, text in methods.items():
            with subtests.test(table="ftd-3", network=network, method=method):
                row = rows.find_row(ROOT, f"{method}-cifar10-ipc50-{network}")
                assert ([one.text for one in row.numbers], row.network) == ([text], network)
    for source, texts in printed.GM_4.items():
        for target, text in zip(printed.GM_4, texts, strict=True):
            with subtests.test(table="gm-4", source=source, target=target):
                method = "gm-md" if source == "convnet3" else f"gm-md-from-{source}"
                found = _planned(f"{method}-mnist-ipc1" + ("" if target == "convnet3" else f"-{target}"))
                assert [one.text for one in found.row.numbers] == [text]
                network = asdict(_method(found))["matching"]["network"]
                assert (network, found.row.network) == ("native" if source == "convnet3" else source, target)


def _refusal(name: str) -> UserError | None:
    try:
        _planned(name)
    except UserError as error:
        return error
    return None


def test_a_cell_that_no_source_covers_is_refused() -> None:
    refused = {name for name in rows.published_rows() if _refusal(name)}
    subsets = {f"{method}-{name}-ipc{ipc}" for method in ("mtt", "ftd") for name in SUBSETS for ipc in (1, 10)}
    assert refused == subsets - {"mtt-imagefruit-ipc1"}
    assert "no source states the values of ftd on imagewoof at 10 images per class" in str(
        _refusal("ftd-imagewoof-ipc10")
    )


SUBSETS = ("imagenette", "imagewoof", "imagefruit", "imagemeow")
