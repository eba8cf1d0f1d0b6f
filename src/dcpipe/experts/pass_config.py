"""Which pass through a network experts and evaluations train with."""

from typing import TYPE_CHECKING

from dcpipe.params.compute import TrainingCompute

if TYPE_CHECKING:
    from dcpipe.data.store import Images
    from dcpipe.experts.step import PassFunction


def pass_modules(compute: TrainingCompute) -> tuple[str, ...]:
    """The modules that decide its numbers, beside those of every training."""
    return ("dcpipe.experts.analytic_pass",) if compute.backend == "analytic" else ()


def training_pass(compute: TrainingCompute, network: str, images: "Images") -> "PassFunction":
    """The pass of a network on such images."""
    if compute.backend == "analytic":
        from dcpipe.experts.analytic_pass import analytic_pass

        shape = {"channels": images.channels, "image_size": images.size, "classes": images.classes}
        return analytic_pass(network, **shape, precision=compute.precision)
    from dcpipe.experts.step import forward_backward

    return forward_backward
