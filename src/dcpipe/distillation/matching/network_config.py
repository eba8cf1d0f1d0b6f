"""What the params of matchings share that draw networks of their own. No value: see the matchings beside it."""

from dcpipe.params.axis import ValueLocation
from dcpipe.params.method_axes import MatchingConfig, MethodContext
from dcpipe.params.network_axes import TrainingConfig, UpdatesPerNetworkConfig
from dcpipe.params.network_name import parse, refuse_image_size
from dcpipe.params.work import NetworkSize, SetSizes, Work


class NetworkMatchingConfig(MatchingConfig):
    """A matching that draws a network in every iteration. The networks are trained at the set's step size."""

    network: str
    real_batch: int
    augmentation: str

    @property
    def network_name(self) -> str | None:
        """The network, or `native`."""
        return self.network

    @property
    def real_images_per_class(self) -> int:
        """Real images per class in an update."""
        return self.real_batch

    def check(self, location: ValueLocation, context: MethodContext) -> None:
        """Nothing is compiled, no step size is learned, and the network must take the images."""
        method = context.method
        if method.compute.backend == "compiled":
            problem = f"has no effect on {self.kind} matching"
            raise location.error_at("compute.backend", problem, "write eager")
        if self.network != "native":
            refuse_image_size(
                parse(self.network), context.facts.image_size, location.resolved.location_of(f"{location.key}.network")
            )


def refuse_idle_training(location: ValueLocation, updates: UpdatesPerNetworkConfig, training: TrainingConfig) -> None:
    """Training follows every update but the last. Raises: UserError where there is only one."""
    if updates.is_single_update and training.images_per_step is not None:
        problem = "has no effect with one update a network"
        raise location.error("training.kind", problem, "write none, or raise updates.count")


def training_work(
    sizes: SetSizes, network: NetworkSize, updates: UpdatesPerNetworkConfig, training: TrainingConfig
) -> Work:
    """What the training of an iteration's network on the set holds and computes, at most."""
    batch = training.images_per_step
    if batch is None:
        return Work()
    batch = min(batch, sizes.images)
    return network.gradient_work(batch).times((updates.max_updates - 1) * training.max_epochs * sizes.images / batch)
