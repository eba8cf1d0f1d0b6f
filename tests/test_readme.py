"""The recipes of README.md and CONTRIBUTING.md do what they say, word by word."""

from pathlib import Path

import pytest

import readme
from clone import Clone
from readme import Block
from repository import ROOT

PAGES = [name for name in ("README.md", "CONTRIBUTING.md", "docs/api.md") if (ROOT / name).exists()]
PAGE = """
<!-- test: file a/b.yaml -->
```yaml
a: 1

b: 2
```

Not marked:

```sh
false
```

- in a list

  <!--test:run-->
  ````sh
  cat a/b.yaml
  ````
"""


def test_marked_blocks_are_found_in_order_and_no_others() -> None:
    found = readme.blocks(PAGE)
    assert found == [Block("a/b.yaml", "a: 1\n\nb: 2\n", 2), Block(None, "cat a/b.yaml\n", 17)]


@pytest.mark.parametrize(
    ("page", "line"),
    [
        ("<!-- test: ran -->\n```\nx\n```", "line 1: .*: write `test: file PATH` or `test: run`"),
        ("<!-- test: file -->\n```\nx\n```", "line 1: .*: write `test: file PATH` or `test: run`"),
        ("a\n<!-- test: run -->\n\n```\nx\n```", "line 2: no fenced block follows"),
        ("<!-- test: run -->", "line 1: no fenced block follows"),
        ("<!-- test: run -->\n```sh\nx\n", "line 2: this fenced block never ends"),
        ("text <!-- test: run -->\n```sh\nx\n```", "line 1: .*: a marker stands alone on its line"),
    ],
)
def test_a_marker_that_marks_nothing_is_an_error(page: str, line: str) -> None:
    with pytest.raises(ValueError, match=line):
        readme.blocks(page)


def test_a_line_that_fails_fails_the_page_with_its_place_and_output(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text(PAGE + "\n<!-- test: run -->\n```sh\necho seen\nfalse\ntouch not-reached\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 22: exit code 1\n(.*\n)*seen\n"):
        readme.execute("page.md", Clone(tmp_path))
    assert not (tmp_path / "not-reached").exists()
    assert (tmp_path / "a/b.yaml").read_text() == "a: 1\n\nb: 2\n"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_recipes_of_a_page_run_word_by_word(page: str, tmp_path: Path) -> None:
    clone = Clone.make(tmp_path / "clone", {"DCPIPE_DEVICE": "cpu"})
    assert readme.blocks((clone.path / page).read_text()), f"{page} has no marked block"
    readme.execute(page, clone)
