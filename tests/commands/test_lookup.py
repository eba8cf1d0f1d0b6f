"""Laws of `dcpipe where`: a path, a file in it and each of its digests are one artifact; it knows both neighbours."""

import json
from pathlib import Path

import pytest

from dcpipe.commands import lookup
from dcpipe.errors import UserError
from dcpipe.provenance import artifact

SET = "artifacts/synthetic/tiny/mtt/ipc1/set0"


def test_a_path_a_file_in_it_and_every_digest_find_the_same_artifact(made: Path) -> None:
    card = artifact.read_card(made / SET / "synthetic.safetensors")
    digests = [str(card["digest"]), artifact.payload_digest(made / SET / "synthetic.safetensors")]
    digests += [entry.sha256 for entry in artifact.card_entries(card)]
    chunk = next((made / "artifacts/experts/tiny/plain/shard0/trajectory.zarr").rglob("zarr.json"))
    for text in (SET, f"{SET}/", f"{SET}/card.json", str(made / SET / "history.csv"), *digests, digests[0][:8]):
        assert [found.folder.as_posix() for found in lookup.find_artifacts(made, text)] == [SET]
    assert lookup.find_artifacts(made, str(chunk))[0].folder.name == "shard0"


def test_it_says_what_made_it_and_what_used_it(made: Path) -> None:
    (found,) = lookup.find_artifacts(made, SET)
    lines = lookup.artifact_lines(made, found)
    assert "  made by   dcpipe distill tiny mtt --ipc 1 --set 0" in lines
    assert "  used by   artifacts/scores/tiny/mtt/ipc1/set0/digits/native" in lines
    assert any(line.startswith("  made from artifacts/experts/tiny/plain/shard1/trajectory.zarr  ") for line in lines)
    (last,) = lookup.find_artifacts(made, "artifacts/metrics/tiny")
    assert lookup.artifact_lines(made, last)[-1] == "  used by   no artifact on this machine"


def test_a_use_of_other_bytes_says_so(tiny: Path) -> None:
    card = tiny / "artifacts/scores/tiny/mtt/ipc1/set0/digits/native/card.json"
    text = json.loads(card.read_text())
    text["inputs"]["synthetic"][0]["digest"] = "0" * 64
    card.write_text(json.dumps({**text, artifact.SEAL: artifact.card_digest(text)}))
    (found,) = lookup.find_artifacts(tiny, SET)
    assert any(line.endswith("when it was 0000000000000000") for line in lookup.artifact_lines(tiny, found))


@pytest.mark.parametrize("text", ["artifacts/nothing", "params/methods/mtt.yaml", "0123", "f" * 64, "/etc/passwd"])
def test_what_is_no_artifact_is_refused(made: Path, text: str) -> None:
    with pytest.raises(UserError, match="no artifact has this path or digest"):
        lookup.find_artifacts(made, text)
