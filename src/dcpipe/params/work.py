"""What a job holds in memory and computes, estimated from shapes before anything runs.

Stages and the values on axes each state their own part; parts add up. Nothing here loads torch.

Legend: P parameters.
"""

from dataclasses import dataclass

FLOAT_BYTES = 4  # bytes of a float32
REUSED_SHARE = 0.6  # share of a phase's memory that a later, larger one finds free and in one piece

# What a pass keeps, in multiples of a network's activations and of its widest layer; from measurements of ConvNets and
# ResNet18 on a CPU. The passes' operations, in multiples of the forward pass's, count convolutions and linear layers.
FORWARD_COST = (0.0, 1.5, 1)
GRADIENT_COST = (1.0, 1.5, 3)
PULLBACK_COST = (3.0, 2.8, 9)
KEPT_GRAPH_FACTOR = 2.1  # and of a gradient's own graph, with a third for what an allocator leaves between
VMAP_COST = (3.4, 0.0, 3)  # a gradient under vmap, for each of the networks
VMAP_BYTES = 1.3e8  # of the parts of torch that vmap loads


@dataclass(frozen=True, slots=True)
class Work:
    """A part of a job: memory in bytes, and arithmetic.

    `held_bytes`: what is there to its end. `phases`: what is there for a time, one after the other, beside that.
    `operations`: multiplications and additions in networks. `calls`: forward passes, and as many times one as another
    pass takes; each has a price whatever it computes.
    """

    held_bytes: float = 0.0
    phases: tuple[float, ...] = ()
    operations: float = 0.0
    calls: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        """Both, the phases of one after those of the other."""
        return Work(
            self.held_bytes + other.held_bytes,
            (*self.phases, *other.phases),
            self.operations + other.operations,
            self.calls + other.calls,
        )

    def times(self, count: float) -> "Work":
        """The same done so often: it takes longer and holds no more."""
        return Work(self.held_bytes, self.phases, count * self.operations, count * self.calls)

    @property
    def peak_bytes(self) -> float:
        """The most that is there at once: freed memory lies in pieces, of which the next largest phase leaves some."""
        largest = sorted(self.phases, reverse=True)[:2]
        return self.held_bytes + sum(largest[:1]) + (1 - REUSED_SHARE) * sum(largest[1:])


@dataclass(frozen=True, slots=True)
class NetworkSize:
    """A network for images of one size: parameters, and for one image, forwards, the numbers that all layers put out,
    the most that one of them takes and puts out, and the operations of its convolutions and linear layers.

    `kept`: the numbers that a gradient of one image keeps for its pullback; None where autograd keeps its graph.
    `has_running_statistics`: whether the images of a batch influence each other.
    """

    parameters: int
    activations: int
    widest: int
    operations: int
    kept: int | None = None
    has_running_statistics: bool = False

    @property
    def bytes(self) -> int:
        """Of one parameter vector."""
        return FLOAT_BYTES * self.parameters

    def forward_work(self, images: float) -> Work:
        """One pass without a graph."""
        return self._pass_work(images, FORWARD_COST, vectors=2)

    def gradient_work(self, images: float) -> Work:
        """The gradient of a loss by the parameters."""
        return self._pass_work(images, GRADIENT_COST, vectors=4)

    def pullback_work(self, images: float) -> Work:
        """The gradient's product with a vector, and the derivatives of that by images and parameters."""
        return self._pass_work(images, PULLBACK_COST, vectors=8)

    def graph_bytes(self, images: float) -> float:
        """What a gradient takes that is kept to be pulled back, with what an allocator leaves between."""
        if self.kept is not None:
            return FLOAT_BYTES * 1.5 * (images * self.kept + self.parameters)
        return FLOAT_BYTES * (KEPT_GRAPH_FACTOR * images * self.activations + 1.5 * self.parameters)

    def images_within(self, budget_bytes: float) -> int | None:
        """How many images have such a graph within a budget; None where a batch cannot be cut."""
        if self.has_running_statistics:
            return None
        fixed = self.graph_bytes(0)
        return max(1, int((budget_bytes - fixed) // (self.graph_bytes(1) - fixed)))

    def vmapped_gradient_work(self, images: float, networks: int) -> Work:
        """Gradients of several networks at once."""
        return Work(held_bytes=VMAP_BYTES) + self._pass_work(images * networks, VMAP_COST, vectors=4 * networks)

    def _pass_work(self, images: float, kind: tuple[float, float, int], *, vectors: int) -> Work:
        activations, widest, operations = kind
        numbers = images * (activations * self.activations + widest * self.widest) + vectors * self.parameters
        return Work(phases=(FLOAT_BYTES * numbers,), operations=operations * images * self.operations, calls=operations)


@dataclass(frozen=True, slots=True)
class SetSizes:
    """What the work of a method depends on: the network that it trains or draws (None where it has none), classes,
    images per class of the set, numbers of one image, training images per class, and the experts that it reads."""

    network: NetworkSize | None
    classes: int
    ipc: int
    numbers: int
    train_images_per_class: int
    num_experts: int = 0

    @property
    def images(self) -> int:
        """Of the synthetic set."""
        return self.classes * self.ipc

    @property
    def bytes(self) -> int:
        """Of the synthetic set."""
        return FLOAT_BYTES * self.images * self.numbers


@dataclass(frozen=True, slots=True)
class InnerSizes:
    """A student's training: its network, its steps, images per step, and numbers of one image."""

    network: NetworkSize
    steps: int
    images: int
    numbers: int


@dataclass(slots=True)
class NetworkSizeBuilder:
    """Adds up a network layer by layer. `channels` and `side` are of what the next layer takes."""

    channels: int
    side: int
    parameters: int = 0
    activations: int = 0
    widest: int = 0
    operations: int = 0

    @property
    def num_input_values(self) -> int:
        """Numbers that the next layer takes, for one image."""
        return self.channels * self.side**2

    def convolution(self, width: int, kernel: int, *, stride: int = 1, padding: int = 0, bias: bool = True) -> None:
        """A square kernel."""
        weights, taken = width * self.channels * kernel**2, self.num_input_values
        self.channels, self.side = width, (self.side + 2 * padding - kernel) // stride + 1
        self.parameters += weights + (width if bias else 0)
        self.operations += 2 * weights * self.side**2
        self._add_output(taken)

    def norm(self, parameters: int) -> None:
        """Scale and shift, of so many parameters together."""
        self.parameters += parameters
        self._add_output(self.num_input_values)

    def activation(self) -> None:
        """Any that works number by number."""
        self._add_output(self.num_input_values)

    def pool(self, side: int, *, stride: int | None = None) -> None:
        """Squares of so many pixels per side, put beside each other where no stride is given."""
        taken = self.num_input_values
        self.side = (self.side - side) // (stride or side) + 1
        self._add_output(taken)

    def linear(self, width: int) -> None:
        """A layer over all numbers."""
        taken = self.num_input_values
        self.parameters += (taken + 1) * width
        self.operations += 2 * taken * width
        self.channels, self.side = width, 1
        self._add_output(taken)

    def add_parallel(self, other: "NetworkSizeBuilder") -> None:
        """Another way through, over what this one took, whose result is added."""
        self.parameters += other.parameters
        self.activations += other.activations
        self.operations += other.operations
        self.widest = max(self.widest, other.widest)

    def new_branch(self) -> "NetworkSizeBuilder":
        """An empty sum from here on."""
        return NetworkSizeBuilder(self.channels, self.side)

    @property
    def size(self) -> NetworkSize:
        """The whole."""
        return NetworkSize(self.parameters, self.activations, self.widest, self.operations)

    def _add_output(self, taken: int) -> None:
        self.activations += self.num_input_values
        self.widest = max(self.widest, taken + self.num_input_values)
