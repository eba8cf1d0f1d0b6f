"""Laws of the page: it needs nothing but itself, shows the bytes it says it shows, and hides no failure."""

import base64
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dcpipe.data import store
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.report import pictures, report_stage
from dcpipe.workflow.execution import execute_job
from dcpipe.workflow.graph import Graph


class Attributes(HTMLParser):
    """Every (tag, name, value) of a page, and the tags left open."""

    VOID = frozenset({"meta", "link", "img", "input", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str, str]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture
def html(made: Path) -> str:
    return (made / "results/two/report.html").read_text()


def test_nothing_is_fetched_from_anywhere(html: str) -> None:
    targets = [value for _, name, value in Attributes(html).found if name in {"src", "href", "action", "srcset"}]
    assert targets
    assert all(value.startswith(("data:", "#")) for value in targets)
    assert not re.findall(r"https?://|url\((?!\"\$|#)|@import", html)
    assert "default-src 'none'" in html


def test_every_tag_is_closed_and_every_anchor_has_its_section(html: str) -> None:
    page = Attributes(html)
    assert page.open == []
    anchors = {value[1:] for tag, name, value in page.found if (tag, name) == ("a", "href") and value[0] == "#"}
    assert anchors <= {value for _, name, value in page.found if name == "id"}


def test_titles_are_escaped(html: str) -> None:
    assert "Two &amp; two &lt;digits&gt;" in html
    assert "<digits>" not in html


def test_pictures_are_the_stored_pixels_clipped_and_nothing_else(made: Path, html: str) -> None:
    uris = dict(re.findall(r'<img src="data:image/png;base64,([^"]+)"[^>]* alt="MTT, set 0, class (\d)', html))
    shown = {int(label): Image.open(io.BytesIO(base64.b64decode(uri))) for uri, label in uris.items()}
    stored = synthetic_set.load(made / "artifacts/synthetic/tiny/mtt/ipc1/set0/synthetic.safetensors")
    pixels = store.standardisation(made / "artifacts/data/tiny/train.zarr").invert(stored.images_NCHW)
    assert pixels.min() < 0
    assert sorted(shown) == list(range(10))
    for label, picture in shown.items():
        expected = (pixels[label, 0].clamp(0, 1) * 255).round().byte().numpy()
        assert np.array_equal(np.asarray(picture), expected)


def test_every_accuracy_every_digest_and_the_commands_stand_in_the_page(made: Path, html: str) -> None:
    for path in made.glob("artifacts/scores/**/scores.json"):
        assert ", ".join(f"{value:.2f}" for value in json.loads(path.read_text())["accuracies"]) in html
    for path in made.glob("artifacts/synthetic/**/card.json"):
        assert all(one["digest"] in html for one in json.loads(path.read_text())["inputs"]["train"])
    chain = ["data tiny", "experts tiny plain --shard 1", "distill tiny mtt --ipc 1 --set 1"]
    last = "evaluate tiny mtt --ipc 1 --set 1 --protocol digits-legacy-max --network native"
    places = [html.rindex(f"\ndcpipe {command}\n") for command in chain[1:]]
    assert f"<pre>dcpipe {chain[0]}\n" in html
    assert places == sorted(places)
    assert html.rindex(f"\ndcpipe {last}\n") > places[-1]
    assert "--log" not in html


def test_selection_on_test_data_is_warned_of_once_a_table(html: str) -> None:
    results = html[html.index('<section id="results">') : html.index('<section id="images">')]
    tables = results.split("<article>")[1:]
    assert ['class="warning"' in table for table in tables] == [False, True]
    assert "2 cells under protocol digits-legacy-max." in html


def test_downloads_are_the_files_beside_the_page(made: Path, html: str) -> None:
    offered = re.findall(r'download="([^"]+)" href="data:[^,]+;base64,([^"]+)"', html)
    files = {path.name: path.read_bytes() for path in (made / "results/two/tables").iterdir()}
    assert {name: base64.b64decode(content) for name, content in offered} == files
    assert len(files) == 18


def test_curves_start_and_end_where_the_history_does(made: Path, html: str) -> None:
    rows = (made / "artifacts/synthetic/tiny/mtt/ipc1/set0/history.csv").read_text().splitlines()
    first, last = (float(row.split(",")[rows[0].split(",").index("loss")]) for row in (rows[1], rows[-1]))
    chart = html[html.index("<title>matching loss, MTT on tiny, 1 image per class</title>") :]
    said = re.search(r"<desc>set 0: from (\S+) to (\S+) in (\d+) points", chart)
    assert said is not None
    assert [float(said[1]), float(said[2])] == [pytest.approx(first, rel=1e-3), pytest.approx(last, rel=1e-3)]
    assert int(said[3]) == len(rows) - 1


def test_params_that_changed_since_a_set_was_made_are_listed(root: Path) -> None:
    path = root / "params/methods/mtt.yaml"
    text = path.read_text()
    head, _, tiny = text.rpartition("  tiny:")
    path.write_text(f"{head}  tiny:{re.sub('iterations: [0-9]+', 'iterations: 99', tiny, count=1)}")
    assert path.read_text() != text
    report_stage.run(Graph(root).make_job("report", experiment="two"), root)
    html = (root / "results/two/report.html").read_text()
    sets = [Graph(root).make_job("distill", dataset="tiny", method="mtt", ipc=1, set=index).name for index in range(2)]
    listed = html[html.index("Made with other params") : html.index("Selected on test data</h3>")]
    changed = "other params (params/methods/mtt.yaml: overrides.tiny.outer.iterations)."
    assert re.findall("<li>(.*?)</li>", listed) == [f"{', '.join(sets)}: {changed}"]


def test_the_terminal_table_fits_and_ends_with_the_path(made: Path) -> None:
    *lines, last = report_stage.run(Graph(made).make_job("report", experiment="two"), made).splitlines()
    assert max(map(len, lines)) <= 100
    assert last == str(made / "results/two/report.html")
    assert sum(" ± " in line for line in lines) == 4


def test_the_protocol_says_which_rates_were_searched_and_chosen(made: Path, root: Path) -> None:
    name = "digits-searched"
    experiment = (root / "params/experiments/two.yaml").read_text()
    (root / "params/experiments/two.yaml").write_text(experiment.replace("digits, digits-legacy-max", name))
    graph = Graph(root)
    chosen = set()
    for job in graph.experiment_jobs("two"):
        if job.stage in {"evaluate", "metrics"}:
            execute_job(job, root)
            scores = json.loads((root / job.outputs["scores"]).read_text()) if job.stage == "evaluate" else {}
            chosen |= {scores["learning_rate"]} if scores else set()
    report_stage.run(graph.make_job("report", experiment="two"), root)
    page = (root / "results/two/report.html").read_text()
    assert "the rate of 0.001, 0.005, 0.01, 0.05, 0.1 that does best on validation images" in page
    assert f"Learning rates chosen on validation images: {', '.join(f'{rate:g}' for rate in sorted(chosen))}." in page
    assert "chosen on validation images" not in (made / "results/two/report.html").read_text()


def test_a_set_mostly_beyond_the_screen_is_adjusted_image_by_image(tmp_path: Path) -> None:
    """Its mean is middle grey and 2.5 deviations span half the screen; one that a screen can show is left alone."""
    ramp = torch.linspace(-1.0, 1.0, 64).view(1, 1, 8, 8)
    for scale, adjusted in ((8.0, True), (0.1, False)):
        images = torch.cat([scale * ramp + 0.5, 3 * scale * ramp + 0.5])
        path = tmp_path / f"{scale}.safetensors"
        synthetic_set.save(path, SyntheticSet(images, torch.tensor([0, 1]), torch.tensor(0.01)))
        found = pictures.picture(path, Identity(), 2**10)
        assert found.is_contrast_adjusted is adjusted
        drawn = [
            np.asarray(Image.open(io.BytesIO(base64.b64decode(strip.uri.split(",")[1])))) for strip in found.strips
        ]
        if adjusted:
            assert np.array_equal(drawn[0], drawn[1])  # each by its own deviation
            expected = (ramp / (5 * ramp.std(correction=0)) + 0.5)[0, 0] * 255
            np.testing.assert_allclose(drawn[0], expected.numpy(), atol=0.51)
        else:
            assert np.array_equal(drawn[0], (images[0, 0] * 255).round().byte().numpy())


class Identity:
    """Images that are pixels already."""

    def invert(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        return images_NCHW
