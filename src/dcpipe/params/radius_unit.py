"""The unit of the radius of a ball around the synthetic images."""

from typing import Annotated, Literal

from pydantic import Field

from dcpipe.params.neutral import NeutralDefault

RadiusUnit = Literal["absolute", "set-norm", "image-norm"]

RadiusUnitKnob = Annotated[
    RadiusUnit,
    NeutralDefault("absolute"),
    Field(
        description="what the radius is a multiple of: 1 (absolute), the norm of all images together (set-norm), or of "
        "each image, which then moves by that length along its own part of the gradient (image-norm)"
    ),
]
