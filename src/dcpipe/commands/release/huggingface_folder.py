"""A set as a folder that `datasets.load_dataset` reads, with Croissant metadata.

    data/train-00000-of-00001.parquet   image (PNG, to look at), label, tensor (exact, as networks see it), logits
    README.md                           a dataset card: license of the source, class names, protocol, expected accuracy
    set.safetensors, card.json          the same numbers, with the step size, and provenance, as in a release
    transform.safetensors               the transform of test images
    croissant.json                      the same for readers of Croissant

Parquet is written by pyarrow, which pip installs with dcpipe[huggingface].
"""

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import yaml
from PIL import Image
from safetensors.torch import save
from torch import Tensor

from dcpipe import __version__
from dcpipe.commands.release import croissant, release_folder
from dcpipe.commands.release.license_terms import license_of
from dcpipe.commands.release.make_release import CARD, SET, TRANSFORM, ReleaseParts, gather_parts, release_card
from dcpipe.errors import UserError
from dcpipe.params.method import Method
from dcpipe.report.class_names import class_names
from dcpipe.workflow.graph import Graph
from dcpipe.workflow.job import Job

if TYPE_CHECKING:
    import pyarrow

PARQUET = "data/train-00000-of-00001.parquet"
CROISSANT = "croissant.json"
Json = Mapping[str, object]


def export_to_huggingface(graph: Graph, scored: Job, to: Path) -> str:
    """Make the folder `to` of the set that a job of the evaluate stage has scored. Returns the expected accuracy.

    Raises: UserError if the folder exists or pyarrow is missing; RefusedError if an artifact is not current.
    """
    release_folder.refuse_existing(to)
    parts = gather_parts(graph, scored)
    synthetic = parts.synthetic
    names = _names(graph, parts)
    table = _parquet(parts, names)
    tensors = {"images": synthetic.images_NCHW, "labels": synthetic.labels, "step_size": synthetic.step_size}
    title = _title(parts)
    described = croissant.DatasetMetadata(
        name=title,
        description=_description(parts),
        license=license_of(_source_kind(graph, parts)),
        file=PARQUET,
        sha256=hashlib.sha256(table).hexdigest(),
        size=len(table),
        is_soft=synthetic.is_soft,
        version=__version__,
        citation=f"{title}, made by dcpipe {__version__}: {parts.made.section('method', Method).description}",
    )
    content = {
        PARQUET: table,
        SET: save({name: tensor.contiguous() for name, tensor in tensors.items()}),
        TRANSFORM: save(parts.transform.tensors()),
        CARD: (json.dumps(release_card(parts), indent=1, sort_keys=True) + "\n").encode(),
        CROISSANT: (json.dumps(croissant.metadata(described), indent=1) + "\n").encode(),
        "README.md": _readme(parts, names, license_of(_source_kind(graph, parts))).encode(),
    }
    release_folder.publish(to, content)
    return parts.expected


def _source_kind(graph: Graph, parts: ReleaseParts) -> str:
    return graph.library.dataset(parts.scored.wildcards["dataset"])[1].source.kind


def _names(graph: Graph, parts: ReleaseParts) -> tuple[str, ...]:
    """Names of all classes: numbers where no names are known."""
    prepared = graph.make_job("data", dataset=parts.scored.wildcards["dataset"])
    known = class_names(prepared, parts.cards["data"])
    return known if len(known) == parts.classes else tuple(map(str, range(parts.classes)))


def _parquet(parts: ReleaseParts, names: tuple[str, ...]) -> bytes:
    try:
        from pyarrow import parquet
    except ModuleNotFoundError as error:
        remedy = "pip install 'dcpipe[huggingface]'"
        raise UserError("pyarrow is needed to write parquet", where="--layout huggingface", remedy=remedy) from error
    packed = io.BytesIO()
    parquet.write_table(_table(parts, names), packed, compression="zstd")
    return packed.getvalue()


def _table(parts: ReleaseParts, names: tuple[str, ...]) -> "pyarrow.Table":
    """The rows, with the features that `datasets` reads from the schema."""
    import pyarrow

    synthetic = parts.synthetic
    images, shape = synthetic.images_NCHW, tuple(synthetic.images_NCHW.shape[1:])
    pictures = [
        {"bytes": _png(pixels), "path": f"{row:05}.png"} for row, pixels in enumerate(parts.transform.invert(images))
    ]
    features: dict[str, Json] = {
        "image": {"_type": "Image"},
        "label": {"names": list(names), "_type": "ClassLabel"},
        "tensor": {"shape": list(shape), "dtype": "float32", "_type": "Array3D"},
    }
    floats = pyarrow.list_(pyarrow.float32())
    columns = {
        "image": pyarrow.array(pictures, pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})),
        "label": pyarrow.array(synthetic.class_labels.tolist(), pyarrow.int64()),
        "tensor": pyarrow.array(images.tolist(), pyarrow.list_(pyarrow.list_(floats))),
    }
    if synthetic.is_soft:
        features["logits"] = {"feature": {"dtype": "float32", "_type": "Value"}, "_type": "List"}
        columns["logits"] = pyarrow.array(synthetic.labels.tolist(), floats)
    schema = {"huggingface": json.dumps({"info": {"features": features}})}
    return pyarrow.table(columns).replace_schema_metadata(schema)


def _png(pixels_CHW: Tensor) -> bytes:
    """A picture to look at: clipped, and rounded to whole numbers."""
    whole = (pixels_CHW.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
    picture = io.BytesIO()
    Image.fromarray((whole[..., 0] if whole.shape[2] == 1 else whole).numpy()).save(picture, format="PNG")
    return picture.getvalue()


def _title(parts: ReleaseParts) -> str:
    wildcards = parts.made.wildcards
    return f"{wildcards['dataset']}-{wildcards['method']}-ipc{wildcards['ipc']}-set{wildcards['set']}"


def _description(parts: ReleaseParts) -> str:
    wildcards, count = parts.made.wildcards, len(parts.synthetic.labels)
    return (
        f"{wildcards['dataset']} distilled into {count} images, {wildcards['ipc']} a class, by {wildcards['method']}. "
        f"A network trained on them alone is expected to reach {parts.expected}."
    )


def _readme(parts: ReleaseParts, names: tuple[str, ...], terms: tuple[str, str]) -> str:
    identifier, note = terms
    wildcards = parts.made.wildcards
    head = {
        "license": identifier,
        "pretty_name": _title(parts),
        "task_categories": ["image-classification"],
        "tags": ["dataset-distillation", "synthetic", wildcards["dataset"], wildcards["method"]],
        "size_categories": ["n<1K" if len(parts.synthetic.labels) < 1000 else "1K<n<10K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": PARQUET}]}],
    }
    classes = "\n".join(f"- {label}: {name}" for label, name in enumerate(names))
    labels = "\n`logits` are the labels: a network is trained on their softmax." if parts.synthetic.is_soft else ""
    return f"""---
{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---

# {_title(parts)}

{_description(parts)}

```python
from datasets import load_dataset

rows = load_dataset("FOLDER", split="train").with_format("torch")
images, labels = rows["tensor"], rows["label"]      # float32 of {"x".join(map(str, parts.synthetic.images_NCHW.shape))}
step_size = {float(parts.synthetic.step_size)!r}
```

`tensor` holds the images exactly as networks see them ({parts.transform.description});
`image` is a picture of it.{labels}
Test images must go through `{TRANSFORM}` ({", ".join(sorted(parts.transform.tensors()))}).

- protocol: {parts.scored.wildcards["evaluation"]} with {parts.network}, in full in `{CARD}`
- expected accuracy: {parts.expected}
- license of the source: {note}
- made by `{parts.made.command.split(" --log ")[0]}`

Classes:

{classes}
"""
