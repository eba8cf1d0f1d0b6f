"""The page as a browser runs it: sorting, filtering, enlarging and themes work, and nothing complains.

Needs a Chromium on PATH; where there is none these are skipped, and the rest of tests/report still holds.
"""

import html as entities
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import repository
from dcpipe.params.library import ParamsLibrary
from dcpipe.params.params_files import available_names
from dcpipe.report import charts
from dcpipe.report.cells import Cell, EvaluatedSet
from dcpipe.workflow.graph import Graph

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

VISIT = """<script>
const result = {errors: []};
addEventListener("error", (event) => result.errors.push(event.message));
addEventListener("securitypolicyviolation", (event) => result.errors.push(event.violatedDirective));
</script>
"""
TRY = """<script>
try {
const cells = document.querySelector("#cells table"), heads = [...cells.tHead.rows[0].cells];
const column = (index) => [...cells.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.cells[index]);
const numeric = heads.findIndex((head) => head.textContent === "mean");
const values = () => column(numeric).map((cell) => Number(cell.dataset.v));
result.before = values();
heads[numeric].querySelector("button").click(); result.up = values();
heads[numeric].querySelector("button").click(); result.down = values();
const field = document.querySelector(".filter input");
field.value = "mtt"; field.dispatchEvent(new Event("input"));
result.filtered = [...cells.tBodies[0].rows].filter((row) => !row.hidden).map((row) => row.textContent.toLowerCase());
field.value = ""; field.dispatchEvent(new Event("input")); result.rows = values().length;
document.querySelector(".strips button").click();
result.enlarged = document.querySelectorAll("#zoom i").length;
result.open = document.getElementById("zoom").open;
document.getElementById("zoom").close();
document.getElementById("theme").click(); document.getElementById("theme").click();
result.theme = document.documentElement.dataset.theme;
result.background = getComputedStyle(document.body).backgroundColor;
result.width = document.documentElement.scrollWidth; result.window = innerWidth;
} catch (error) { result.errors.push(String(error)); }
const out = document.createElement("pre"); out.id = "result"; out.textContent = JSON.stringify(result);
document.body.append(out);
</script>
"""


def visit(page: Path, folder: Path, width: int) -> dict[str, object]:
    """What a page's scripts saw while it was used, in a window so many pixels wide."""
    text = page.read_text()
    copy = folder / "page.html"
    copy.write_text(text.replace("<header>", VISIT + "<header>", 1).replace("</body>", TRY + "</body>", 1))
    return result_of(copy, folder, width)


def result_of(page: Path, folder: Path, width: int) -> dict[str, object]:
    """The JSON in the page's element `result` after its scripts ran."""
    assert CHROMIUM is not None
    flags = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}"]
    size = f"--window-size={width},900"
    done = subprocess.run(
        [CHROMIUM, *flags, size, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    found = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    result: dict[str, object] = json.loads(entities.unescape(found[1]))
    return result


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_works_and_nothing_complains(made: Path, tmp_path: Path, width: int) -> None:
    result = visit(made / "results/two/report.html", tmp_path, width)
    assert result["errors"] == []
    before, up, down = (result[name] for name in ("before", "up", "down"))
    assert isinstance(before, list)
    assert up == sorted(before)
    assert down == sorted(before, reverse=True)
    assert up != down
    filtered = result["filtered"]
    assert isinstance(filtered, list)
    assert all("mtt" in row for row in filtered)
    assert 0 < len(filtered) < len(before) == result["rows"]
    assert result["open"]
    assert result["enlarged"]
    assert result["theme"] == "dark"
    assert result["background"] != "rgb(255, 255, 255)"
    across, window = result["width"], result["window"]
    assert isinstance(across, int)
    assert isinstance(window, int)
    assert across <= window, "nothing sticks out to the side"


def test_the_name_of_every_preset_is_whole_and_inside_its_chart(tmp_path: Path) -> None:
    presets = available_names(repository.ROOT, "methods")
    labels = [ParamsLibrary(repository.ROOT).method(name, "digits", 1)[1].label for name in presets]
    wildcards: dict[str, str | int] = {"dataset": "tiny", "method": "random", "ipc": 1, "set": 0}
    graph = Graph(repository.ROOT)
    scored = graph.make_job("evaluate", **wildcards, evaluation="digits", network="native")
    one = EvaluatedSet(0, (60.0, 70.0), scored, graph.make_job("distill", **wildcards), digest="", cost=None)
    hard = ["M" * 18, "MTT, ZCA WHITENED WWW", "\u8ed2" * 21, "@%" * 9, "$a$ <b> & {c}"]
    drawn = [
        charts.network_scores_chart(
            name, "t", [Cell("digits", "mtt", label, 1, "digits", "last", "convnet3", (one,)) for label in some], 65.0
        )
        for name, some in (("presets", labels), ("hard", hard))
    ]
    style = (Path(charts.__file__).parent / "templates/style.css").read_text()
    ask = "[...document.querySelectorAll('[id*=\".row-\"] text')].map((name) => [name.textContent, name.getBBox().x])"
    script = f"document.getElementById('result').textContent = JSON.stringify({{names: {ask}}})"
    page = tmp_path / "runs.html"
    body = f'{"".join(chart.inline for chart in drawn)}<pre id="result"></pre><script>{script}</script>'
    page.write_text(f"<!DOCTYPE html><meta charset=utf-8><style>{style}</style>{body}")
    names = result_of(page, tmp_path, 1280)["names"]
    assert isinstance(names, list)
    assert [name for name, _ in names] == labels + hard
    assert min(x for _, x in names) >= 0
    assert min(x for _, x in names[: len(labels)]) <= 48, "little more room than the longest needs"
