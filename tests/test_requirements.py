"""The hashed requirements of `make setup SECURE=1` are the pinned versions, each with one file."""

import re

from repository import ROOT

LINE = re.compile(r"([\w.-]+)==(\S+) --hash=sha256:([0-9a-f]{64})")


def _name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_hashed_requirements_are_the_constraints() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split() if "==" in line)
    pinned = {_name(name): version for name, version in pins.items()}
    hashed = [LINE.fullmatch(line) for line in (ROOT / "requirements-hashed.txt").read_text().splitlines()]
    assert len(hashed) > 200
    for found in hashed:
        assert found
        assert pinned[_name(found[1])] == found[2].split("+")[0]
