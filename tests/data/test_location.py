"""Where data is kept is told by the machine, and no artifact knows it."""

from pathlib import Path

import publishers
import pytest
from workshop import Workshop

from dcpipe.data import location
from dcpipe.errors import UserError


def test_two_machines_with_the_same_bytes_make_the_same_artifact(
    shop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    publishers.tree(shop.data / "birds", ["a", "b", "c"])
    shop.folder("birds", test_per_class=1)
    shop.prepare("birds")
    before = shop.payload("birds")
    monkeypatch.delenv("DCPIPE_DATA")
    (shop.root / "local.yaml").write_text("data_root: elsewhere/data\n")
    shop.data.rename(shop.root / "moved")
    (shop.root / "elsewhere").mkdir()
    (shop.root / "moved").rename(shop.root / "elsewhere" / "data")
    shop.prepare("birds")
    assert shop.payload("birds") == before
    assert b"elsewhere" not in b"".join(before.values())


def test_a_single_root_wins_over_the_variable_and_that_over_the_data_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "local.yaml").write_text("data_root: /a\nroots:\n  svhn: ~/b\n  mnist: c\n")
    monkeypatch.setenv("HOME", "/home/someone")
    assert location.data_path(tmp_path, "cifar10") == Path("/a/cifar10")
    monkeypatch.setenv("DCPIPE_DATA", "/d")
    assert location.data_path(tmp_path, "cifar10") == Path("/d/cifar10")
    assert location.data_path(tmp_path, "svhn") == Path("/home/someone/b")
    assert location.data_path(tmp_path, "mnist") == tmp_path / "c"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "cifar10: the data folder of this machine is not set; set DCPIPE_DATA"),
        ("dataroot: /a\n", "local.yaml: unknown key dataroot"),
        ("roots: /a\n", "local.yaml: roots must map names to folders"),
        ("data_root: 3\n", "local.yaml: 3 is not a path"),
    ],
)
def test_a_machine_that_does_not_say_where_is_told_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    monkeypatch.delenv("DCPIPE_DATA", raising=False)
    if text:
        (tmp_path / "local.yaml").write_text(text)
    with pytest.raises(UserError) as caught:
        location.data_path(tmp_path, "cifar10")
    assert str(caught.value).startswith(said)
