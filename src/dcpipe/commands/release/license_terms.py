"""Under which license a source's images are: distilled images are made of them."""

from functools import cache
from pathlib import Path

from dcpipe.params.strict_yaml import Tree, read_yaml

FILE = Path(__file__).with_name("source_terms.yaml")


def license_of(kind: str) -> tuple[str, str]:
    """A source's license as Hugging Face spells it, and what is known of it; `unknown` for sources of one's own."""
    found = _terms().get(kind)
    if not isinstance(found, dict):
        return "unknown", "the license of these images is not known to dcpipe; write it here before you publish"
    return str(found["license"]), str(found["note"])


@cache
def _terms() -> Tree:
    return read_yaml(FILE)
