"""The card: everything that a job's bytes are a function of, as JSON beside the payload."""

import hashlib
import json
import platform
from pathlib import Path

from dcpipe import __version__
from dcpipe.provenance import artifact
from dcpipe.workflow.job import Job

CODE_FILE = "code_identity.yaml"


def identity(job: Job, root: Path) -> dict[str, object]:
    """What makes this job this job: stage, wildcards, param values, and the digests of its inputs.

    Raises: UserError or CorruptArtifactError if an input is not there or has no card.
    """
    return {
        **own_identity(job),
        "inputs": {
            name: [{"path": path, "digest": artifact.payload_digest(root / path)} for path in paths]
            for name, paths in sorted(job.inputs.items())
        },
    }


def own_identity(job: Job) -> dict[str, object]:
    """What makes this job this job apart from its inputs."""
    return {
        "stage": job.stage,
        "job": dict(job.wildcards),
        "params": {file: dict(values) for file, values in job.params.items() if file != CODE_FILE},
        "code": dict(job.params.get(CODE_FILE, {})),
    }


def state_key(identity: dict[str, object], hardware: dict[str, object]) -> str:
    """A short digest of an identity on a class of machine; names the job's resume state."""
    text = json.dumps([identity, hardware], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def machine_class(job: Job) -> dict[str, object]:
    """The class of software and hardware that the same bits are promised on."""
    versions: dict[str, object] = {
        "dcpipe": __version__,
        "python": ".".join(platform.python_version_tuple()[:2]),
    }
    if job.is_machine_dependent:
        from dcpipe import device

        versions |= device.hardware_class()
    return versions
