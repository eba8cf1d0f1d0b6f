"""One repository with its data folder a test."""

from pathlib import Path

import pytest
from workshop import Workshop


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workshop:
    """A workshop whose data is where DCPIPE_DATA says."""
    made = Workshop.make(tmp_path)
    monkeypatch.setenv("DCPIPE_DATA", str(made.data))
    return made
