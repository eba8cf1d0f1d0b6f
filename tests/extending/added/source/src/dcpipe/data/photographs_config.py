"""The source photographs: the knobs."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from dcpipe.params.axis import Example
from dcpipe.params.dataset import SourceConfig, Split
from dcpipe.params.dataset_facts import DatasetFacts
from dcpipe.params.schema import STRICT

if TYPE_CHECKING:
    from dcpipe.data.source import Source


@dataclass(frozen=True, kw_only=True, config=STRICT)
class Photographs(SourceConfig):
    """Squares of the two photographs that come with scikit-learn: a temple, and a flower."""

    implementation = ("dcpipe.data.photographs",)

    kind: Literal["photographs"]
    image_size: Annotated[int, Field(ge=4, le=128)] = Field(description="pixels per side of a square")

    @property
    def folder(self) -> str | None:
        """None: they come inside a package."""
        return None

    def facts(self, split: Split) -> DatasetFacts:  # noqa: ARG002 (of every source)
        """Two classes, in colour."""
        squares = (427 // self.image_size) * (640 // self.image_size)
        return DatasetFacts(
            classes=2, channels=3, image_size=self.image_size, smallest_class=squares, has_test_part=False
        )

    @property
    def num_test_images(self) -> int | None:
        """None of its own."""
        return None

    def open(self, facts: DatasetFacts, root: Path) -> "Source":  # noqa: ARG002 (of every source)
        """They are everywhere."""
        from dcpipe.data.photographs import Squares

        return Squares(self.image_size)

    @classmethod
    def examples(cls) -> Mapping[str, Example]:
        """Small squares."""
        return {"photographs": Example({"kind": "photographs", "image_size": 8}, changes={"image_size": 16})}
