"""Every source file that README and docs name exists."""

import re

import pytest

from repository import ROOT

PACKAGES = "|".join(sorted(path.parent.name for path in (ROOT / "src/dcpipe").glob("*/__init__.py")))
NAMED = re.compile(rf"(?<![\w/])((?:src|tests|benchmarks|{PACKAGES}|distill|evaluate)/[\w/.-]+\.py)\b")


def test_every_file_that_the_docs_name_exists(subtests: pytest.Subtests) -> None:
    named = {
        (page.name, name)
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for name in NAMED.findall(page.read_text())
    }
    assert any(name.startswith("distillation/") for _, name in named)
    for page, name in sorted(named):
        with subtests.test(page=page, name=name):
            own = name.startswith(("src/", "tests/", "benchmarks/"))
            assert (ROOT / (name if own else f"src/dcpipe/{name}")).is_file()
