"""Laws of the shipped profiles: they name what exists, explain every line, and agree where they say the same."""

from itertools import takewhile
from pathlib import Path

import pytest

import repository
from dcpipe.params.strict_yaml import read_yaml
from dcpipe.workflow.stages import STAGES

PROFILES = sorted((repository.ROOT / "profiles").glob("*/config.yaml"))
TOGETHER = ("groups", "group-components", "resources", "set-resource-scopes", "retries", "rerun-incomplete")


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.parent.name)
def test_every_key_is_explained(file: Path) -> None:
    lines = file.read_text().splitlines()
    keys = [number for number, line in enumerate(lines) if line and line[0] not in " #-"]
    for number in keys:
        block = [lines[number - 1] if lines[number - 1].startswith("#") else "", lines[number]]
        block += takewhile(lambda line: line.startswith(" "), lines[number + 1 :])
        assert any("#" in line for line in block), f"{file}:{number + 1}: {lines[number]}"


@pytest.mark.parametrize("file", PROFILES, ids=lambda file: file.parent.name)
def test_rules_and_groups_exist(file: Path) -> None:
    profile = read_yaml(file)
    groups = dict(str(entry).split("=") for entry in profile.get("groups", []))
    sizes = dict(str(entry).split("=") for entry in profile.get("group-components", []))
    assert set(profile.get("set-resources", {})) | set(groups) <= set(STAGES)
    assert set(sizes) == set(groups.values())
    assert all(int(size) >= 1 for size in sizes.values())
    assert "distill" not in groups


def test_the_two_cluster_profiles_agree() -> None:
    slurm, generic = (read_yaml(repository.ROOT / f"profiles/{name}/config.yaml") for name in ("slurm", "cluster"))
    assert {key: slurm[key] for key in TOGETHER} == {key: generic[key] for key in TOGETHER}
