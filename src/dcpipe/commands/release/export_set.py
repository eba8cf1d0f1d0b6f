"""`dcpipe export-set`: a set in the layout that other codes read.

    mtt           images_best.pt, labels_best.pt, lr_best.pt: classes as labels
    datm          the same with logits
    dc            res_dcpipe_<dataset>_<method>_<ipc>ipc.pt
    npz           set.npz: images, labels or logits, step_size
    huggingface   a folder that `datasets.load_dataset` reads: see `huggingface_folder`

Numbers are those that networks see: IMPORT.md says how they were prepared.
"""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from dcpipe.commands.release import release_folder
from dcpipe.data import store
from dcpipe.data.store import Transform
from dcpipe.distillation import synthetic_set
from dcpipe.distillation.synthetic_set import SyntheticSet
from dcpipe.errors import UserError
from dcpipe.provenance import artifact
from dcpipe.workflow.job import Job

LAYOUTS = ("mtt", "datm", "dc", "npz")
STATEMENT = "IMPORT.md"


def export_set(root: Path, distill_job: Job, layout: str, to: Path) -> list[str]:
    """Write the set that a job of the distill stage made into the new folder `to`. Returns the names of the files.

    Raises: UserError if the folder exists, or the layout has no place for the set's labels.
    """
    release_folder.refuse_existing(to)
    synthetic = synthetic_set.load(artifact.verify_payload(root / distill_job.outputs["synthetic"]))
    whitening = distill_job.inputs.get("whitening")
    whitened_by = artifact.verify_payload(root / whitening[0]) if whitening else None
    transform = store.load_transform(artifact.verify_payload(root / distill_job.input("train")), whitened_by)
    files = _content(
        synthetic, layout, "_".join((distill_job.wildcards["dataset"], distill_job.wildcards["method"])), distill_job
    )
    release_folder.publish(to, {**files, STATEMENT: _statement(distill_job, transform).encode()})
    return sorted(files)


def _content(synthetic: SyntheticSet, layout: str, name: str, distill_job: Job) -> dict[str, bytes]:
    images, labels = synthetic.images_NCHW.contiguous(), synthetic.labels.contiguous()
    if layout == "npz":
        packed = io.BytesIO()
        step_size = synthetic.step_size.numpy()
        if synthetic.is_soft:
            np.savez(packed, images=images.numpy(), logits=labels.numpy(), step_size=step_size)
        else:
            np.savez(packed, images=images.numpy(), labels=labels.numpy(), step_size=step_size)
        return {"set.npz": packed.getvalue()}
    if synthetic.is_soft != (layout == "datm"):
        kinds = ("logits", "classes") if synthetic.is_soft else ("classes", "logits")
        problem = f"the labels of this set are {kinds[0]}, and the layout {layout} has {kinds[1]}"
        raise UserError(
            problem, where=str(distill_job.folder), remedy=f"write --layout {'datm' if synthetic.is_soft else 'mtt'}"
        )
    if layout == "dc":
        return {f"res_dcpipe_{name}_{distill_job.wildcards['ipc']}ipc.pt": _saved({"data": [[images, labels]]})}
    parts = {"images": images, "labels": labels, "lr": synthetic.step_size}
    return {f"{part}_best.pt": _saved(tensor) for part, tensor in parts.items()}


def _saved(value: Tensor | dict[str, list[list[Tensor]]]) -> bytes:
    packed = io.BytesIO()
    torch.save(value, packed)
    return packed.getvalue()


def _statement(distill_job: Job, transform: Transform) -> str:
    """How the numbers were prepared, for whoever reads the files."""
    tensors = transform.tensors()
    wildcards = distill_job.wildcards
    lines = [f"# {wildcards['dataset']}, {wildcards['method']}, {wildcards['ipc']} a class, set {wildcards['set']}", ""]
    if "matrix" in tensors:
        lines += ["The images are whitened by ZCA, fitted on the training images in [0, 1] without standardising them."]
        lines += ["", "    dcpipe import-set FILE --dataset DATASET --whitening zca"]
    else:
        mean, std = (",".join(f"{value!r}" for value in tensors[name].tolist()) for name in ("mean", "std"))
        lines += ["The images are standardised, each channel by", "", f"    mean {mean}", f"    std  {std}", ""]
        lines += ["of pixels in [0, 1], and not whitened.", ""]
        lines += ["    dcpipe import-set FILE --dataset DATASET --whitening none"]
    return "\n".join([*lines, ""])
