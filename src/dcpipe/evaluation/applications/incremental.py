"""Class-incremental learning with a distilled set as the memory.

Source: GDumb (arXiv:2004.07780) as dataset condensation uses it (DM's public protocol, and SATM, section 5.1). Classes
come in steps, in an order drawn at random; after each step a fresh network is trained from scratch on the memory, and
tested on the classes seen so far. It has an output for every class from the start, and none is masked. The memory
holds the images of the finished set that were made for the classes seen.
"""

import torch
from torch import Tensor

from dcpipe.data.store import Images
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.evaluation.applications.trials import ApplicationInputs, Trials
from dcpipe.random import Stream


def measure_class_order(steps: int, network: str, trials: Trials, material: ApplicationInputs) -> dict[str, object]:
    """The accuracies after each step of one order of the classes; the part is the order's number."""
    arriving = class_steps(material.test.classes, steps, material.stream.child(material.part))
    name = material.native if network == "native" else network
    results = []
    for step in range(steps):
        seen = torch.cat(arriving[: step + 1]).sort().values
        memory, tested = (
            images_of_seen_classes(material.synthetic, seen),
            real_images_of_seen_classes(material.test, seen),
        )
        found = trials.accuracies(f"step {step}", name, memory, tested)
        counts = {"images": len(memory.images_NCHW), "tested": len(tested.labels_N)}
        results.append({"classes": arriving[step].tolist(), **counts, "accuracies": list(found)})
    return {"network": name, "steps": results}


def class_steps(classes: int, steps: int, stream: Stream) -> tuple[Tensor, ...]:
    """All classes in an order drawn from a stream, cut into steps; the first ones are larger where that is needed."""
    return torch.randperm(classes, generator=stream.generator()).tensor_split(steps)


def images_of_seen_classes(synthetic: SyntheticSet, classes_seen: Tensor) -> SyntheticSet:
    """The images that were made for the classes seen, in their order.

    Soft labels say nothing of other classes: their probability goes to those seen, in proportion.
    """
    rows = torch.isin(synthetic.class_labels, classes_seen.to(synthetic.class_labels.device))
    labels = synthetic.labels[rows]
    if synthetic.is_soft:
        unseen = torch.ones(labels.shape[1], dtype=torch.bool, device=labels.device)
        unseen[classes_seen.to(labels.device)] = False
        labels = labels.masked_fill(unseen, float("-inf"))
    intended_classes_N = None if synthetic.intended_classes_N is None else synthetic.intended_classes_N[rows]
    return SyntheticSet(synthetic.images_NCHW[rows], labels, synthetic.step_size, intended_classes_N)


def real_images_of_seen_classes(images: Images, classes_seen: Tensor) -> Images:
    """The images of the classes seen, in their order."""
    rows = torch.isin(images.labels_N, classes_seen.to(images.labels_N.device))
    return Images(images.images_NCHW[rows], images.labels_N[rows], images.classes)
