"""Laws of artifacts: whole or not at all, whenever the process dies; and refused by name when a byte differs."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import killed_writer
import pytest

import repository
import small_disk
from dcpipe.errors import CorruptArtifactError, UserError
from dcpipe.provenance import artifact, durable
from dcpipe.workflow.graph import Graph

SHARD = Path("artifacts/experts/tiny/plain/shard0")
THETA = "trajectory.zarr/theta/c/0/0/0"


def _version_there(folder: Path) -> str | None:
    """Which version the folder verifies as; None if it is refused."""
    try:
        for payload in ("t.zarr", "s.json"):
            artifact.verify_payload(folder / payload)
    except (CorruptArtifactError, UserError):
        return None
    found = {name: content for name, content in repository.bytes_below(folder).items() if name != "card.json"}
    version = str(artifact.read_card(folder / "s.json")["version"])
    there = {name: content for name, content in found.items() if not name.startswith(durable.TEMPORARY_PREFIX)}
    assert there == killed_writer.VERSIONS[version], "verified as what it is not"
    return version


@pytest.mark.parametrize("before", ["old", None])
def test_a_writer_killed_at_any_call_leaves_old_new_or_something_refused(before: str | None, tmp_path: Path) -> None:
    killed_writer.publish(tmp_path / "reference", "new")
    for call in range(1, 100):
        if before:
            killed_writer.publish(tmp_path / "runs" / str(call), before)
    done = repository.child(tmp_path, killed_writer.__file__, "publish", str(tmp_path / "runs"))
    calls = int(done.stdout)
    assert 15 < calls < 99, done.stderr
    outcomes = []
    for call in range(1, calls + 1):
        folder = tmp_path / "runs" / str(call)
        outcomes.append(_version_there(folder))
        killed_writer.publish(folder, "new")
        assert repository.bytes_below(folder) == repository.bytes_below(tmp_path / "reference")
    assert outcomes[0] == before
    assert outcomes[-1] == "new"
    assert outcomes == sorted(outcomes, key=[before, None, "new"].index), "once refused, it stays so until it is new"


def test_a_file_whose_writer_is_killed_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    old, new = (killed_writer.VERSIONS[version]["t.zarr/a/c/0"] for version in ("old", "new"))
    for call in range(1, 20):
        killed_writer.write(tmp_path / str(call), "old")
    done = repository.child(tmp_path, killed_writer.__file__, "write", str(tmp_path))
    found = [(tmp_path / str(call) / "file").read_bytes() for call in range(1, int(done.stdout) + 1)]
    assert 4 <= len(found) < 20
    assert found == sorted(found, key=[old, new].index)
    assert {found[0], found[-1]} == {old, new}


def test_a_draft_that_fails_leaves_the_older_artifact_and_nothing_else(tmp_path: Path) -> None:
    killed_writer.publish(tmp_path, "old")
    before = repository.bytes_below(tmp_path)

    def fail_half_way() -> None:
        with artifact.draft_artifact(tmp_path) as draft:
            draft.path("s.json").write_text("half")
            draft.path("never written")
            draft.publish({})

    with pytest.raises(FileNotFoundError):
        fail_half_way()
    assert repository.bytes_below(tmp_path) == before


@pytest.mark.parametrize("before", ["old", None])
def test_a_disk_full_at_any_page_leaves_what_was_there_or_the_new_one(before: str | None, tmp_path: Path) -> None:
    place, outcomes = tmp_path / "small", []
    with small_disk.mounted(place, "size=256k"):
        for pages in range(16):
            folder = place / str(pages)
            if before:
                killed_writer.publish(folder, before)
            filling = small_disk.fill(place, 4096 * pages)
            with suppress(OSError):
                killed_writer.publish(folder, "new")
            outcomes.append(_version_there(folder))
            assert outcomes[-1] or not repository.bytes_below(folder), "refused is the same as absent"
            filling.unlink()
            shutil.rmtree(folder)
    assert (outcomes[0], outcomes[-1]) == (before, "new")
    assert outcomes == sorted(outcomes, key=[before, "new"].index)


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/x: cannot be written \(Not a directory\); "):
        killed_writer.publish(tmp_path / "file" / "x", "old")


def test_bytes_and_card_do_not_depend_on_the_order_of_payloads(tmp_path: Path) -> None:
    for folder, names in (("a", ["x", "y"]), ("b", ["y", "x"])):
        with artifact.draft_artifact(tmp_path / folder) as draft:
            for name in names:
                draft.path(name).write_text(name)
            draft.publish({"k": 1})
    assert repository.bytes_below(tmp_path / "a") == repository.bytes_below(tmp_path / "b")


def _flip(name: str, at: float) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        content[int(at * len(content))] ^= 1
        (folder / name).write_bytes(content)

    return damage


def _cut(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-7])


def _remove(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def _write(name: str, text: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(text) and None


def _card(**changed: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        card = json.loads((folder / "card.json").read_text())
        (folder / "card.json").write_text(json.dumps({**card, **changed}))

    return damage


DAMAGE = {
    "a flipped bit in a checkpoint": (_flip(THETA, 0.01), "trajectory.zarr/theta: does not read back as it was"),
    "a flipped bit in a shard's index": (_flip(THETA, 0.9999), "trajectory.zarr/theta: does not read back as it was"),
    "a flipped bit in the losses": (_flip("trajectory.zarr/losses/c/0/0", 0), "trajectory.zarr/losses: does not read"),
    "a truncated shard": (_cut(THETA), f"{THETA}: has [0-9]+ bytes instead of"),
    "a missing shard": (_remove(THETA), f"{THETA}: is missing"),
    "a missing zarr.json": (_remove("trajectory.zarr/theta/zarr.json"), "theta/zarr.json: is missing"),
    "an edited zarr.json": (
        _flip("trajectory.zarr/theta/zarr.json", 0.5),
        "theta/zarr.json: was changed after it",
    ),
    "an extra file": (_write("trajectory.zarr/theta/c/9", "x"), "trajectory.zarr/theta/c/9: does not belong there"),
    "no card": (_remove("card.json"), "trajectory.zarr: has no card beside it: it was never finished"),
    "a torn card": (_cut("card.json"), "shard0/card.json: is not a readable card"),
    "a card that is no card": (_write("card.json", "[]"), "shard0/card.json: is not a card"),
    "a card without a manifest": (_card(manifest=None), "shard0/card.json: is not a card"),
    "a card with other facts": (_card(facts={}), "shard0/card.json: was changed after it was written"),
    "a card with a shorter manifest": (_card(manifest=[]), "shard0/card.json: was changed after it was written"),
}


def test_a_flipped_bit_anywhere_in_a_card_is_refused(tmp_path: Path) -> None:
    killed_writer.publish(tmp_path, "old")
    whole = (tmp_path / "card.json").read_bytes()
    for place in range(len(whole)):
        spoilt = bytearray(whole)
        spoilt[place] ^= 1 << place % 8
        (tmp_path / "card.json").write_bytes(spoilt)
        with pytest.raises((CorruptArtifactError, UserError)):
            artifact.read_card(tmp_path / "s.json")
    (tmp_path / "card.json").write_bytes(whole)
    assert artifact.read_card(tmp_path / "s.json")["version"] == "old"


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_refused_by_name_and_the_next_stage_makes_nothing_of_it(name: str, tiny: Path) -> None:
    damage, told = DAMAGE[name]
    job = Graph(tiny).make_job("distill", **repository.CELL)
    shutil.rmtree(tiny / job.folder)
    damage(tiny / SHARD)
    with pytest.raises(CorruptArtifactError, match=told) as caught:
        repository.make(tiny, "distill", **repository.CELL)
    assert str(caught.value).startswith(str(tiny / SHARD))
    remedy = f"remove {tiny / SHARD}, then `dvc checkout` restores it, or `snakemake` makes it again"
    assert str(caught.value).endswith(f"; {remedy}") or name == "no card"
    assert repository.bytes_below(tiny / job.folder) == {}


def test_the_card_of_another_shard_is_refused_by_whose_it_is(tiny: Path) -> None:
    shutil.copy((tiny / SHARD).parent / "shard1/card.json", tiny / SHARD / "card.json")
    shutil.rmtree(tiny / Graph(tiny).make_job("distill", **repository.CELL).folder)
    with pytest.raises(UserError, match=r"shard0/trajectory.zarr: is the experts artifact of tiny plain 1; remove "):
        repository.make(tiny, "distill", **repository.CELL)


@pytest.mark.parametrize("damage", [_cut("synthetic.safetensors"), _flip("synthetic.safetensors", 0.9)])
def test_a_damaged_synthetic_set_is_never_evaluated(damage: Callable[[Path], None], tiny: Path) -> None:
    folder = tiny / Graph(tiny).make_job("distill", **repository.CELL).folder
    damage(folder)
    with pytest.raises(CorruptArtifactError, match=re.escape(str(folder / "synthetic.safetensors"))):
        repository.make(tiny, "evaluate", **repository.CELL, evaluation="digits", network="native")


def test_a_job_run_again_over_damage_restores_every_byte(tiny: Path, made: Path) -> None:
    for damage in (_flip(THETA, 0.5), _remove("card.json"), _write("trajectory.zarr/x", "x")):
        damage(tiny / SHARD)
    repository.make(tiny, "experts", dataset="tiny", experts="plain", shard=0)
    assert repository.bytes_below(tiny / SHARD) == repository.bytes_below(made / SHARD)


def test_whole_verification_finds_a_stale_card_that_fits_in_sizes(tmp_path: Path) -> None:
    killed_writer.publish(tmp_path / "old", "old")
    with artifact.draft_artifact(tmp_path / "new") as draft:
        shutil.copytree(tmp_path / "old/t.zarr", draft.path("t.zarr"))
        (draft.path("t.zarr") / "a/c/0").write_bytes(b"new " * 64)
        draft.publish({})
    shutil.copy(tmp_path / "old/card.json", tmp_path / "new/card.json")
    with pytest.raises(CorruptArtifactError, match=r"new/t\.zarr/a/c/0: was changed after it was written"):
        artifact.verify_payload(tmp_path / "new/t.zarr", every_digest=True)


def test_marks_that_snakemake_leaves_are_no_part_of_an_artifact(tiny: Path) -> None:
    before = artifact.payload_digest(tiny / SHARD / "trajectory.zarr")
    for folder in ("trajectory.zarr", "trajectory.zarr/theta"):
        (tiny / SHARD / folder / ".snakemake_timestamp").touch()
    assert artifact.verify_payload(tiny / SHARD / "trajectory.zarr", every_digest=True)
    assert artifact.payload_digest(tiny / SHARD / "trajectory.zarr") == before
    repository.make(tiny, "distill", **repository.CELL)


def test_every_artifact_of_an_experiment_verifies_whole(made: Path) -> None:
    jobs = [job for job in Graph(made).experiment_jobs("tiny") if not job.is_view]
    for job in jobs:
        for name, path in job.outputs.items():
            if name != "card":
                assert artifact.verify_payload(made / path, every_digest=True)
        left = {path.name for path in (made / job.folder).iterdir()}
        assert left == {Path(path).name for path in job.outputs.values()}
    assert len(jobs) == 12
