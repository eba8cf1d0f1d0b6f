"""Laws of reading a release that somebody made up: one line, and nothing of it is used."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import dcpipe
import repository
from dcpipe.errors import CorruptArtifactError, UserError

SUMS, CARD, SET, TRANSFORM = "SHA256SUMS", "card.json", "set.safetensors", "transform.safetensors"


@pytest.fixture
def folder(tiny: Path) -> Path:
    """A released set."""
    command = "release tiny mtt --ipc 1 --protocol digits --to mine"
    assert repository.dcpipe(tiny, *command.split())[0] == 0
    return tiny / "mine"


def listed(folder: Path) -> None:
    """Let the list of sums say what is there now."""
    names = [line.split("  ")[1] for line in (folder / SUMS).read_text().splitlines()]
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (folder / SUMS).write_text("".join(sums))


def tensors(file: str, **changed: Callable[[torch.Tensor], torch.Tensor] | None) -> Callable[[Path], None]:
    """Other tensors in a file, and their right sum in the list; None: without that tensor."""

    def edit(folder: Path) -> None:
        there = load_file(folder / file)
        for name, change in changed.items():
            there[name] = change(there[name]) if change else torch.empty(0)
        save_file({name: there[name].contiguous() for name in there if changed.get(name, 1)}, folder / file)
        listed(folder)

    return edit


def card(**changed: object) -> Callable[[Path], None]:
    """Another card, and its right sum in the list."""

    def edit(folder: Path) -> None:
        there = json.loads((folder / CARD).read_text())
        (folder / CARD).write_text(json.dumps({**there, **changed}))
        listed(folder)

    return edit


def text(file: str, content: str) -> Callable[[Path], None]:
    """Another file, and its right sum in the list."""
    return lambda folder: (folder / file).write_text(content) and listed(folder)


def sums(change: Callable[[list[str]], list[str]]) -> Callable[[Path], None]:
    """Another list of sums."""

    def edit(folder: Path) -> None:
        lines = (folder / SUMS).read_text().splitlines()
        (folder / SUMS).write_text("".join(f"{line}\n" for line in change(lines)))

    return edit


def linked(folder: Path) -> None:
    outside = folder.parent / "outside"
    (folder / "README.md").rename(outside)
    (folder / "README.md").symlink_to(outside)


def at(value: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """The same tensor, but for its first number."""

    def changed(tensor: torch.Tensor) -> torch.Tensor:
        flat = tensor.clone().reshape(-1)
        flat[0] = value
        return flat.reshape(tensor.shape)

    return changed


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "an empty list": (sums(lambda _: []), "SHA256SUMS: does not list card.json"),
    "a list without the set": (sums(lambda ls: [x for x in ls if SET not in x]), "does not list set.safetensors"),
    "a list without the script": (sums(lambda ls: [x for x in ls if "train.py" not in x]), "does not list train.py"),
    "a list that climbs": (sums(lambda ls: [*ls, f"{'0' * 64}  ../params/x"]), "is not the SHA-256 of a file in this"),
    "a list that begins at the root": (
        sums(lambda ls: [*ls, f"{'0' * 64}  /etc/passwd"]),
        "is not the SHA-256 of",
    ),
    "a list with a name twice": (sums(lambda ls: [*ls, ls[0]]), "names README.md a second time"),
    "a list that is none": (sums(lambda _: ["hello"]), "line 1 is not the SHA-256 of a file"),
    "a list of a gigabyte": (lambda f: (f / SUMS).open("wb").truncate(2**30) and None, "is too long for a list"),
    "a link to elsewhere": (linked, "README.md: is a link to a place outside of the release"),
    "a card that is none": (text(CARD, "[]"), "card.json: is not a card"),
    "a card that is torn": (text(CARD, "{"), "card.json: is not a readable card"),
    "a card of brackets": (text(CARD, "[" * 100_000), "card.json: is not a readable card"),
    "a card without classes": (card(classes=None), "card.json: is not the card of a release: is None, not a whole"),
    "a card with other images": (card(images={"shape": [10, 3, 8, 8]}), "images of float32 of 10x1x8x8; its card says"),
    "a card with fewer classes": (card(classes=5), "set.safetensors: has labels outside of its 5 classes"),
    "a card with no class": (card(classes=0), "set.safetensors: has 0 classes"),
    "images that are not finite": (tensors(SET, images=at(float("nan"))), "has images that are not finite"),
    "images of doubles": (tensors(SET, images=torch.Tensor.double), "has images of float64 of 10x1x8x8"),
    "no images": (tensors(SET, images=None), "set.safetensors: has no images"),
    "labels out of range": (tensors(SET, labels=at(10)), "has labels outside of its 10 classes"),
    "labels below 0": (tensors(SET, labels=at(-1)), "has labels outside of its 10 classes"),
    "fewer labels": (tensors(SET, labels=lambda t: t[1:]), "has labels of int64 of 9 for 10 images"),
    "an infinite step size": (tensors(SET, step_size=at(float("inf"))), "a step size that is not one number above 0"),
    "a step size below 0": (tensors(SET, step_size=at(-0.1)), "a step size that is not one number above 0"),
    "a deviation of 0": (
        tensors(TRANSFORM, std=at(0.0)),
        "lacks a finite mean, or a standard deviation above 0, for one of its 1",
    ),
    "a mean that is not finite": (tensors(TRANSFORM, mean=at(float("nan"))), "has a mean that is not finite"),
    "a set that is torn": (text(SET, "hello"), "set.safetensors: is not a safetensors file"),
    "a header of 8 EB": (text(SET, "\x7f" * 64), "set.safetensors: is not a safetensors file"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_made_up_release_is_one_line(name: str, folder: Path) -> None:
    edit, told = HOSTILE[name]
    edit(folder)
    with pytest.raises((CorruptArtifactError, UserError)) as caught:
        dcpipe.load(folder)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{folder}/")
