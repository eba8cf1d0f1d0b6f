"""What the method of a set that was made is built of, for those who measure at it afterwards."""

from pathlib import Path

import torch

from dcpipe import device
from dcpipe.data import store
from dcpipe.distillation.setting import Setting
from dcpipe.params.method import Method
from dcpipe.provenance import artifact
from dcpipe.provenance.checkpoint import ResumeState
from dcpipe.random import Stream
from dcpipe.workflow.job import Job


def setting_from_artifacts(job: Job, root: Path, stream: Stream | None = None) -> Setting:
    """The setting of a distill job, on the CPU, from verified artifacts; with the job's own draws unless told others.

    Raises: CorruptArtifactError naming an artifact whose bytes differ from its card; UserError if one is missing.
    """
    method, wildcards = job.section("method", Method), job.wildcards
    device.configure_torch(method.compute.threads)
    whitened_by = artifact.verify_payload(root / job.input("whitening")) if "whitening" in job.inputs else None
    data_path = artifact.verify_payload(root / job.input("train"))
    names = (wildcards["dataset"], wildcards["method"], int(wildcards["ipc"]), int(wildcards["set"]))
    return Setting(
        method,
        store.load(data_path, "train", torch.device("cpu"), whitened_by),
        store.load_transform(data_path, whitened_by),
        ipc=int(wildcards["ipc"]),
        set_index=int(wildcards["set"]),
        stream=stream or Stream.root(method.seed, "distill", *names),
        device=torch.device("cpu"),
        state=ResumeState(root / "state/none"),
        name=job.name,
        network=job.section("network", str) if "network" in job.sections else "",
        trajectories=tuple(artifact.verify_payload(root / path) for path in job.inputs.get("trajectories", ())),
        root=root,
    )
