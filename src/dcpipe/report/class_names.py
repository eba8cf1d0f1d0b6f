"""Names of a dataset's classes: from its card where the source states them, else from a table of this package."""

import json
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter
from pydantic.dataclasses import dataclass

from dcpipe.data.source_config import ImageNet
from dcpipe.params.dataset import Dataset
from dcpipe.params.schema import STRICT
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.provenance import card_fields
from dcpipe.provenance.card_fields import Card
from dcpipe.workflow.job import Job

FILE = Path(__file__).with_name("class_names.yaml")


@dataclass(frozen=True, kw_only=True, config=STRICT)
class _Names:
    """The file. A class of ImageNet has the key `c` and its place in the list of sorted wnids."""

    sources: dict[str, list[str]]
    imagenet: dict[str, str]


def class_names(prepared: Job, card: Card | None) -> tuple[str, ...]:
    """Names in the order of the labels; none where they are not known. `prepared` is the job that made the dataset."""
    stated = card_fields.facts_of(card or {}).get("classes")
    if stated is not None:
        return tuple(name.text() for name in stated.elements())
    return published_names(prepared.section("dataset", Dataset))


def published_names(dataset: Dataset) -> tuple[str, ...]:
    """Names of a published dataset's classes; none where the table has no line for it."""
    source, known = dataset.source, _names()
    if not isinstance(source, ImageNet):
        return tuple(known.sources.get(source.kind, ()))
    wanted = [] if source.classes == "all" else [f"c{number}" for number in source.classes]
    return tuple(known.imagenet[key] for key in wanted) if known.imagenet.keys() >= set(wanted) else ()


@cache
def _names() -> _Names:
    return TypeAdapter(_Names).validate_json(json.dumps(read_yaml(FILE)))
