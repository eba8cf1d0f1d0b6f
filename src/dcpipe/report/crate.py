"""An experiment's provenance as a standard document: RO-Crate 1.1 metadata, from the graph and the cards alone.

The crate is the folder of the report. Its files are the views; artifacts lie elsewhere and are contextual entities,
named by path and digest; every job is a CreateAction whose objects are the artifacts and params it read and whose
results are those it made. The same artifacts and the same commit give the same bytes.
Source: https://www.researchobject.org/ro-crate/1.1/ (root data entity; provenance of entities).

Written by hand: rocrate 0.16 gives the same graph of the same entities, but it is these that take the lines here; it
would replace a dozen of them (the head and the root) and bring arcp, requests and their dependencies.
"""

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from dcpipe import __version__
from dcpipe.params.experiment import Experiment
from dcpipe.provenance import artifact, card_fields
from dcpipe.provenance.card_fields import Card
from dcpipe.workflow.job import Job

FILE = "ro-crate-metadata.json"
VERSION = "https://w3id.org/ro/crate/1.1"
LICENSE = "https://spdx.org/licenses/MIT"
TYPES = {
    **{".html": "text/html", ".csv": "text/csv", ".tex": "application/x-tex"},
    **{".svg": "image/svg+xml", ".pdf": "application/pdf"},
}

Entity = dict[str, object]


def crate_metadata(report: Job, root: Path, chain: Iterable[Job], views: Mapping[Path, bytes]) -> str:
    """The text of ro-crate-metadata.json. `chain` is every job behind the report, `views` the files beside it."""
    known: dict[str, Entity] = {}
    actions = [_action(job, root, known) for job in chain]
    folder = (root / report.outputs["page"]).parent
    parts = [_file(path.relative_to(folder), len(content)) for path, content in views.items()]
    experiment = report.section("experiment", Experiment)
    whole: Entity = {
        "@id": "./",
        "@type": "Dataset",
        "name": experiment.title,
        "description": experiment.description,
        "datePublished": publication_date(root),
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
        "description": "For the code and its results; the original images keep their own license.",
    }
    graph = [head, whole, rights, *parts, *actions, *(known[name] for name in sorted(known))]
    return json.dumps({"@context": f"{VERSION}/context", "@graph": graph}, indent=1, ensure_ascii=False) + "\n"


def publication_date(root: Path) -> str:
    """The date of SOURCE_DATE_EPOCH where it is set, else of the commit that is checked out, else today's."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH")
    if seconds is None:
        command = ["git", "-C", str(root), "log", "-1", "--format=%ct"]
        try:
            seconds = subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()
        except OSError:
            seconds = ""
    moment = datetime.fromtimestamp(int(seconds), UTC) if seconds else datetime.now(UTC)
    return moment.date().isoformat()


def _action(job: Job, root: Path, known: dict[str, Entity]) -> Entity:
    """A job; the entities that it names are added to `known`."""
    card = artifact.read_card(root / next(iter(job.outputs.values())))
    inputs = [_artifact(path, root, known) for paths in job.inputs.values() for path in paths]
    return {
        "@id": f"#job/{job.name}",
        "@type": "CreateAction",
        "name": job.command.partition(" --log ")[0],
        "instrument": _software(card, known),
        "object": _references([*inputs, *_params(card, known)]),
        "result": _references(_artifact(path, root, known) for name, path in job.outputs.items() if name != "card"),
    }


def _artifact(path: str, root: Path, known: dict[str, Entity]) -> Entity:
    entity: Entity = {
        "@id": f"#{path}",
        "@type": "CreativeWork",
        "name": path,
        "identifier": f"sha256:{artifact.payload_digest(root / path)}",
    }
    return known.setdefault(f"#{path}", entity)


def _params(card: Card, known: dict[str, Entity]) -> list[Entity]:
    """The param values that a card states, as they were when the job ran."""
    entities = []
    for file, key, text in card_fields.params_of(card):
        identity = f"#params/{file}/{key}={text}"
        entity: Entity = {"@id": identity, "@type": "PropertyValue", "name": f"{file}: {key}", "value": text}
        entities.append(known.setdefault(identity, entity))
    return entities


def _software(card: Card, known: dict[str, Entity]) -> dict[str, str]:
    """The code, and the class of software and hardware on which it gives the same bits."""
    versions = card_fields.machine_of(card)
    text = ", ".join(f"{name} {value}" for name, value in versions.items())
    version = versions.get("dcpipe", __version__)
    identity = f"#software/{text}"
    kind = "SoftwareApplication"
    known.setdefault(
        identity, {"@id": identity, "@type": kind, "name": "dcpipe", "version": version, "description": text}
    )
    return {"@id": identity}


def _file(path: Path, size: int) -> Entity:
    return {
        "@id": path.as_posix(),
        "@type": "File",
        "name": path.name,
        "encodingFormat": TYPES[path.suffix],
        "contentSize": str(size),
    }


def _references(entities: Iterable[Entity]) -> list[Entity] | Entity:
    """A property's references; a single one stands without a list, as RO-Crate recommends."""
    references: list[Entity] = [{"@id": entity["@id"]} for entity in entities]
    return references[0] if len(references) == 1 else references
