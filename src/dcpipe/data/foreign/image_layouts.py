"""Layouts of image files: a folder of images per class, and the folders of Hugging Face's `datasets`.

    folder         class/*.png: pixels; a class's label is its place in the order of the names
    huggingface    an imagefolder with metadata.csv or metadata.jsonl; data/*.parquet; or what `save_to_disk` writes
                   (*.arrow). Images are encoded files in a column `image`, or numbers in a column `tensor`

Parquet and Arrow files are read by pyarrow, which pip installs with dcpipe[huggingface].
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dcpipe.data import image_files
from dcpipe.data.bounded_files import image_formats, read_bounded_text
from dcpipe.data.foreign.foreign_set import ForeignFiles, ForeignSet
from dcpipe.data.foreign.table_files import column_to_tensor, read_tables
from dcpipe.data.problems import Problems
from dcpipe.errors import UserError

if TYPE_CHECKING:
    import pyarrow

METADATA = ("metadata.csv", "metadata.jsonl")
LABELS = ("label", "labels")
IMAGES = ("image", "img")


def read_folder(path: Path) -> ForeignFiles:
    """One folder of images per class. Raises: UserError naming what cannot be used."""
    names = image_files.class_folders(path)
    problems = Problems()
    listed = image_files.listing([path / name for name in names], names, problems)
    problems.refuse("fix or remove what cannot be used")
    paths = [listed.path(row) for row in range(len(listed.names))]
    images = _stack([_decoded(one.read_bytes(), str(one)) for one in paths], str(path))
    files = [(one.relative_to(path).as_posix(), one) for one in paths]
    return ForeignFiles([ForeignSet("folder", images, torch.from_numpy(listed.labels_N), classes=names)], files)


def read_huggingface(path: Path) -> ForeignFiles:
    """The training rows of a dataset folder. Raises: UserError where it holds no images with labels."""
    tables = sorted(one for one in path.rglob("*") if one.suffix in {".parquet", ".arrow"} and _is_train(one))
    if tables:
        return _from_tables(path, tables)
    metadata = next((found for name in METADATA for found in sorted(path.rglob(name)) if _is_train(found)), None)
    if metadata is None:
        problem = "has parquet, arrow or metadata files of test or validation parts only"
        raise UserError(problem, where=str(path), remedy="pass a folder with a training part")
    return _from_metadata(path, metadata)


def is_huggingface(path: Path) -> bool:
    """Whether a folder looks like one of a Hugging Face dataset."""
    return any(one.suffix in {".parquet", ".arrow"} or one.name in METADATA for one in path.rglob("*"))


def _is_train(path: Path) -> bool:
    """A set is what a network is trained on: a folder or file of a test part is none."""
    parts = {part.split("-")[0] for part in (path.parent.name, path.stem)}
    return not parts & {"test", "validation", "val"} and "cache" not in path.stem


def _from_metadata(path: Path, metadata: Path) -> ForeignFiles:
    rows = _rows(metadata)
    if not rows or "file_name" not in rows[0]:
        raise UserError("has no row with file_name", where=str(metadata), remedy="name the file of each image there")
    label_name = next((name for name in LABELS if name in rows[0]), None)
    if label_name is None:
        raise UserError("has no column label", where=str(metadata), remedy="write the class of each image there")
    paths = [metadata.parent / row["file_name"] for row in rows]
    for one in paths:
        if not one.resolve().is_relative_to(path.resolve()) or not one.is_file():
            raise UserError("is not a file of this folder", where=str(one), remedy=f"fix file_name in {metadata.name}")
    images = _stack([_decoded(one.read_bytes(), str(one)) for one in paths], str(path))
    labels, classes = _class_numbers([row[label_name] for row in rows])
    files = [(metadata.relative_to(path).as_posix(), metadata)]
    files += [(one.relative_to(path).as_posix(), one) for one in paths]
    return ForeignFiles([ForeignSet("huggingface", images, labels, classes=classes)], files)


def _rows(metadata: Path) -> list[dict[str, str]]:
    try:
        text = read_bounded_text(metadata, "write a list of images there, one a line")
        if metadata.suffix == ".csv":
            return list(csv.DictReader(io.StringIO(text)))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot be read ({error})", where=str(metadata), remedy="write it again") from error
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    return [_json_row(line, f"{metadata}: line {number}") for number, line in lines]


def _json_row(line: str, where: str) -> dict[str, str]:
    try:
        return {str(key): str(value) for key, value in json.loads(line).items()}
    except (ValueError, AttributeError, RecursionError) as error:
        example = '{"file_name": "0.png", "label": 3}'
        raise UserError("is not a JSON object", where=where, remedy=f"write it as {example}") from error


def _class_numbers(texts: Sequence[str]) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers as they are; other names by their place in alphabetical order, as `datasets` numbers them."""
    if all(text.isdigit() for text in texts):
        return torch.tensor([int(text) for text in texts]), ()
    classes = tuple(sorted(set(texts)))
    return torch.tensor([classes.index(text) for text in texts]), classes


def _from_tables(path: Path, tables: Sequence[Path]) -> ForeignFiles:
    table = read_tables(tables, ("tensor", *IMAGES, "logits", *LABELS))
    images_name = next((name for name in ("tensor", *IMAGES) if name in table.column_names), None)
    label_name = next((name for name in ("logits", *LABELS) if name in table.column_names), None)
    if images_name is None or label_name is None:
        problem = f"has no column of {'labels' if images_name else 'images'}"
        raise UserError(problem, where=str(tables[0]), remedy="it needs image (or tensor) and label (or logits)")
    if images_name == "tensor":
        images = column_to_tensor(table.column(images_name), f"{tables[0]}: column {images_name}")
    else:
        rows = table.column(images_name).to_pylist()
        images = _stack([_decoded(*_encoded_image(row, path)) for row in rows], str(tables[0]))
    labels = column_to_tensor(table.column(label_name), f"{tables[0]}: column {label_name}")
    labels = labels if labels.is_floating_point() else labels.long()
    step_size = _step_size(table, path)
    files = [(one.relative_to(path).as_posix(), one) for one in tables]
    found = ForeignSet("huggingface", images, labels, step_size, _class_names(table, label_name))
    return ForeignFiles([found], files)


def _encoded_image(row: object, path: Path) -> tuple[bytes, str]:
    """An image as `datasets` keeps it: its encoded bytes, or the path of its file."""
    if not isinstance(row, Mapping):
        raise UserError("an image is not an encoded file", where=str(path), remedy="cast the column to datasets.Image")
    name = str(row.get("path") or "an image")
    encoded = row.get("bytes")
    if isinstance(encoded, bytes):
        return encoded, f"{path}: {name}"
    file = path / name
    if not file.resolve().is_relative_to(path.resolve()) or not file.is_file():
        raise UserError("is not a file of this folder", where=f"{path}: {name}", remedy="embed the images in its files")
    return file.read_bytes(), str(file)


def _step_size(table: "pyarrow.Table", path: Path) -> float | None:
    """What an export of dcpipe states beside the rows."""
    file = path / "card.json"
    if "tensor" not in table.column_names or not file.is_file():
        return None
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["step_size"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _class_names(table: "pyarrow.Table", label: str) -> tuple[str, ...]:
    """Those that `datasets` keeps in the schema."""
    raw = (table.schema.metadata or {}).get(b"huggingface")
    try:
        features = json.loads(raw)["info"]["features"] if raw else {}
        return tuple(map(str, features[label]["names"]))
    except (ValueError, KeyError, TypeError):
        return ()


def _decoded(encoded: bytes, where: str) -> Tensor:
    """C x H x W, uint8: grey or colour."""
    try:
        with Image.open(io.BytesIO(encoded), formats=image_formats()) as image:
            image.load()
            pixels = np.asarray(image if image.mode in {"L", "RGB"} else image.convert("RGB"))
    except Exception as error:  # a damaged image can make Pillow raise anything
        problem = f"cannot be decoded ({type(error).__name__})"
        raise UserError(problem, where=where, remedy="replace it") from error
    tensor = torch.from_numpy(pixels.copy())
    return tensor[None] if tensor.dim() == 2 else tensor.permute(2, 0, 1).contiguous()


def _stack(images: Iterable[Tensor], where: str) -> Tensor:
    found = list(images)
    shapes = {tuple(one.shape) for one in found}
    if len(shapes) != 1:
        text = ", ".join("x".join(map(str, shape)) for shape in sorted(shapes)[:3]) or "none"
        raise UserError(f"there must be images of one size, not {text}", where=where, remedy="pass images of one size")
    return torch.stack(found)
