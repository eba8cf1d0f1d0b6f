"""Laws of the provenance document: valid RO-Crate 1.1, whole, true of the bytes, and the same every time."""

import json
import shutil
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dcpipe.provenance import artifact
from dcpipe.report import crate, report_stage
from dcpipe.workflow.graph import Graph

Entity = dict[str, object]


@pytest.fixture(scope="module")
def entities(made: Path) -> dict[str, Entity]:
    document = json.loads((made / "results/two/ro-crate-metadata.json").read_text())
    assert document["@context"] == "https://w3id.org/ro/crate/1.1/context"
    found = {entity["@id"]: entity for entity in document["@graph"]}
    assert len(found) == len(document["@graph"])  # each described once, the graph flat
    return found


def references(value: object) -> list[str]:
    """The entities that a property names."""
    if isinstance(value, list):
        return [name for item in value for name in references(item)]
    return [value["@id"]] if isinstance(value, dict) else []


def test_it_has_what_the_specification_demands(entities: dict[str, Entity], made: Path) -> None:
    head, whole = entities["ro-crate-metadata.json"], entities["./"]
    assert head["@type"] == "CreativeWork"
    assert head["about"] == {"@id": "./"}
    assert head["conformsTo"] == {"@id": "https://w3id.org/ro/crate/1.1"}
    assert whole["@type"] == "Dataset"
    assert whole["name"] == "Two & two <digits>"
    assert whole["description"] == "What the report is tested on."
    assert date.fromisoformat(str(whole["datePublished"])) <= date.today()
    license_ = entities[references(whole["license"])[0]]
    assert license_["name"]
    assert license_["description"]
    files = {name for name, entity in entities.items() if entity["@type"] == "File"}
    assert set(references(whole["hasPart"])) == files
    for name in files:
        assert not urlsplit(name).scheme
        assert ".." not in name
        assert (made / "results/two" / name).stat().st_size == int(str(entities[name]["contentSize"]))


def test_every_view_is_described_and_nothing_dangles(entities: dict[str, Entity], made: Path) -> None:
    folder = made / "results/two"
    views = {str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file()}
    assert views - {crate.FILE} == {name for name, entity in entities.items() if entity["@type"] == "File"}
    named = {name for entity in entities.values() for value in entity.values() for name in references(value)}
    assert named - entities.keys() == {crate.VERSION}
    assert entities.keys() - named == {crate.FILE}


def test_every_job_is_an_action_and_its_artifacts_have_their_digests(entities: dict[str, Entity], made: Path) -> None:
    jobs = {f"#job/{job.name}": job for job in Graph(made).experiment_jobs("two") if not job.is_view}
    actions = {name for name, entity in entities.items() if entity["@type"] == "CreateAction"}
    assert actions == jobs.keys() == set(references(entities["./"]["mentions"]))
    for name, job in jobs.items():
        inputs = {f"#{path}" for paths in job.inputs.values() for path in paths}
        outputs = {f"#{path}" for key, path in job.outputs.items() if key != "card"}
        given = set(references(entities[name]["object"]))
        assert inputs == {reference for reference in given if entities[reference]["@type"] == "CreativeWork"}
        assert set(references(entities[name]["result"])) == outputs
        for reference in inputs | outputs:
            digest = artifact.payload_digest(made / reference.removeprefix("#"))
            assert entities[reference]["identifier"] == f"sha256:{digest}"
        values = [(file, key) for file, pairs in job.params.items() for key in pairs if file != "code_identity.yaml"]
        assert len(given - inputs) == len(values)


def test_it_is_the_same_in_another_place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    texts = []
    for place in (tmp_path / "one", tmp_path / "another"):
        root = shutil.copytree(made, place)
        report_stage.run(Graph(root).make_job("report", experiment="two"), root)
        texts.append((root / "results/two" / crate.FILE).read_text())
    assert texts[0] == texts[1]
    assert '"datePublished": "2023-11-14"' in texts[0]
    assert str(tmp_path) not in texts[0]
