"""An experiment's provenance as a standard document: RO-Crate 1.1 metadata, made of the graph and the cards alone.

The crate is the folder of the report. Its files are the views; artifacts lie elsewhere and are contextual entities,
named by path and digest; every job is a CreateAction whose objects are the artifacts and params it read and whose
results are those it made. The same artifacts and the same commit give the same bytes.
Source: https://www.researchobject.org/ro-crate/1.1/ (root data entity; provenance of entities).
"""

import json
import os
import subprocess
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

from dcpipe import __version__
from dcpipe.params.experiment import Experiment
from dcpipe.provenance import artifact
from dcpipe.workflow.job import Job

FILE = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.1"
LICENSE = "https://spdx.org/licenses/MIT"
TYPES = {".html": "text/html", ".csv": "text/csv", ".tex": "application/x-tex"}

Entity = dict[str, object]


def metadata(report: Job, root: Path, chain: Iterable[Job], files: Iterable[Path]) -> str:
    """The text of ro-crate-metadata.json. `chain` is every job behind the report, `files` the views beside it."""
    made: dict[str, Entity] = {}
    actions = [_action(job, root, made) for job in chain]
    parts = [_file(path, root, report) for path in files]
    experiment = report.sections["experiment"]
    assert isinstance(experiment, Experiment)  # noqa: S101 (the graph put it there)
    whole: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": experiment.title,
        "description": experiment.description,
        "datePublished": published(root),
        "license": {"@id": LICENSE},
        "hasPart": _references(parts),
        "mentions": _references(actions),
    }
    head: Entity = {
        "@id": FILE,
        "@type": "CreativeWork",
        "conformsTo": {"@id": VERSION},
        "about": {"@id": "./"},
    }
    rights: Entity = {
        "@id": LICENSE,
        "@type": "CreativeWork",
        "name": "MIT License",
        "description": "Of the code and of what it made; the images it started from keep their own.",
    }
    graph = [head, whole, rights, *parts, *actions, *(made[name] for name in sorted(made))]
    return json.dumps({"@context": f"{VERSION}/context", "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def published(root: Path) -> str:
    """The date of the commit that is checked out; SOURCE_DATE_EPOCH, where it is set, goes first; else today's."""
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given is None:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        try:
            given = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            given = ""
    moment = datetime.fromtimestamp(int(given), UTC) if given else datetime.now(UTC)
    return moment.date().isoformat()


def _action(job: Job, root: Path, made: dict[str, Entity]) -> Entity:
    """A job, after adding what it names to `made`."""
    card = artifact.read_card(root / next(iter(job.outputs.values())))
    given = [_artifact(path, root, made) for paths in job.inputs.values() for path in paths]
    return {
        "@id": f"#job/{job.name}",
        "@type": "CreateAction",
        "name": job.command.partition(" --log ")[0],
        "instrument": _software(card, made),
        "object": _references([*given, *_params(card, made)]),
        "result": _references(_artifact(path, root, made) for name, path in job.outputs.items() if name != "card"),
    }


def _artifact(path: str, root: Path, made: dict[str, Entity]) -> Entity:
    found: Entity = {
        "@id": f"#{path}",
        "@type": "CreativeWork",
        "name": path,
        "identifier": f"sha256:{artifact.payload_digest(root / path)}",
    }
    return made.setdefault(f"#{path}", found)


def _params(card: dict[str, object], made: dict[str, Entity]) -> list[Entity]:
    """The param values that a card states, as they were when the job ran."""
    params = card["params"]
    assert isinstance(params, dict)  # noqa: S101 (a card that verifies)
    found = []
    for file, values in params.items():
        for key, value in values.items():
            text = json.dumps(value)
            identity = f"#params/{file}/{key}={text}"
            entity: Entity = {"@id": identity, "@type": "PropertyValue", "name": f"{file}: {key}", "value": text}
            found.append(made.setdefault(identity, entity))
    return found


def _software(card: dict[str, object], made: dict[str, Entity]) -> dict[str, str]:
    """The code, and the class of software and hardware on which it gives the same bits."""
    known = card["class"]
    assert isinstance(known, dict)  # noqa: S101 (a card that verifies)
    words = ", ".join(f"{name} {value}" for name, value in sorted(known.items()))
    version = str(known.get("dcpipe", __version__))
    identity = f"#software/{words}"
    kind = "SoftwareApplication"
    made.setdefault(
        identity, {"@id": identity, "@type": kind, "name": "dcpipe", "version": version, "description": words}
    )
    return {"@id": identity}


def _file(path: Path, root: Path, report: Job) -> Entity:
    folder = (root / report.outputs["page"]).parent
    return {
        "@id": path.relative_to(folder).as_posix(),
        "@type": "File",
        "name": path.name,
        "encodingFormat": TYPES[path.suffix],
        "contentSize": str(path.stat().st_size),
    }


def _references(entities: Iterable[Entity]) -> list[Entity] | Entity:
    """What a property names; one entity stands alone, as RO-Crate recommends."""
    found: list[Entity] = [{"@id": entity["@id"]} for entity in entities]
    return found[0] if len(found) == 1 else found
