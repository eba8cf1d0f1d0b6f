"""Laws of summary.csv: its columns, its pooling, and what it is made from."""

import csv
import hashlib
import json
import shutil
from pathlib import Path

import pytest

from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.provenance import artifact
from dcpipe.report import report_stage
from dcpipe.workflow.graph import Graph

COLUMNS = "dataset,method,ipc,network,protocol,selection,n,mean,std,seconds,peak_bytes,digest,pixel_low,pixel_high"


def rows(root: Path) -> list[dict[str, str]]:
    with (root / "results/two/summary.csv").open(newline="") as handle:
        return list(csv.DictReader(handle))


def cost_of_set(root: Path, index: int) -> Path:
    return root / Graph(root).make_job("distill", dataset="tiny", method="mtt", ipc=1, set=index).costs_path


def again(root: Path) -> None:
    report_stage.run(Graph(root).make_job("report", experiment="two"), root)


def test_columns_are_those_agreed_and_rows_follow_the_experiment(made: Path) -> None:
    assert (made / "results/two/summary.csv").read_text().splitlines()[0] == COLUMNS
    found = [(row["method"], row["protocol"], row["selection"]) for row in rows(made)]
    protocols = [("digits", "last"), ("digits-legacy-max", "legacy-max")]
    assert found == [(method, *protocol) for method in ("random", "mtt") for protocol in protocols]


def test_a_row_pools_the_networks_of_all_sets_exactly_as_the_metrics_do(made: Path) -> None:
    metrics = json.loads((made / "artifacts/metrics/two/metrics.json").read_text())
    for row in rows(made):
        pooled = metrics[f"{row['dataset']}/{row['method']}/ipc{row['ipc']}/{row['protocol']}/native"]
        assert {"mean": float(row["mean"]), "std": float(row["std"]), "n": int(row["n"])} == pooled
        assert int(row["n"]) == 4
        assert row["network"] == "convnet2-w32"


def test_the_digest_is_that_of_the_sorted_digests_of_the_sets(made: Path) -> None:
    folder = made / "artifacts/synthetic/tiny/mtt/ipc1"
    digests = sorted(artifact.payload_digest(folder / f"set{i}/synthetic.safetensors") for i in range(2))
    expected = hashlib.sha256("".join(f"{digest}\n" for digest in digests).encode()).hexdigest()[:16]
    assert {row["digest"] for row in rows(made) if row["method"] == "mtt"} == {expected}


def test_seconds_are_the_sum_and_peak_the_largest_of_the_sets(made: Path) -> None:
    costs = [json.loads(cost_of_set(made, index).read_text()) for index in range(2)]
    row = next(row for row in rows(made) if row["method"] == "mtt")
    assert float(row["seconds"]) == pytest.approx(sum(cost["seconds"] for cost in costs), abs=1e-3)
    assert int(row["peak_bytes"]) == max(cost["peak_bytes"] for cost in costs)


def test_one_missing_cost_empties_the_sum_and_the_page_says_not_measured(root: Path) -> None:
    cost_of_set(root, 1).unlink()
    again(root)
    seconds = {row["method"]: (row["seconds"], row["peak_bytes"]) for row in rows(root)}
    assert seconds["mtt"] == ("", "")
    assert all(seconds["random"])
    page = (root / "results/two/report.html").read_text()
    assert "distill tiny mtt ipc 1: 1 of 2 jobs." in page
    assert "not measured" in (root / "results/two/tables/costs.tex").read_text()


@pytest.mark.parametrize(
    "name",
    [
        "artifacts/scores/tiny/mtt/ipc1/set1/digits/native/scores.json",
        "artifacts/synthetic/tiny/random/ipc1/set0/synthetic.safetensors",
        "artifacts/synthetic/tiny/mtt/ipc1/set0/history.csv",
        "artifacts/metrics/two/metrics.json",
        "artifacts/data/tiny/train.zarr/zarr.json",
    ],
)
def test_a_flipped_bit_is_refused_by_name_and_nothing_is_written(root: Path, name: str) -> None:
    before = {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()}
    content = bytearray((root / name).read_bytes())
    content[len(content) // 2] ^= 1
    (root / name).write_bytes(content)
    with pytest.raises(CorruptArtifactError, match=name):
        again(root)
    assert {path: path.read_bytes() for path in (root / "results").rglob("*") if path.is_file()} == before


def test_a_score_that_is_not_there_is_named(root: Path) -> None:
    shutil.rmtree(root / "artifacts/scores/tiny/mtt/ipc1/set1/digits")
    with pytest.raises(UserError, match=r"set1/digits/native/scores\.json"):
        again(root)


def test_a_place_that_cannot_be_written_is_named(root: Path) -> None:
    shutil.rmtree(root / "results")
    (root / "results").write_text("in the way")
    with pytest.raises(UserError, match=r"results/two/summary\.csv: cannot be written"):
        again(root)
