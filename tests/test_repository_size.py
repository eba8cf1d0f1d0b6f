"""The repository stays small: what git tracks, counted by its true size."""

import subprocess

import repository

RESULTS = "benchmarks/results/"
GENERATED = ("dvc.yaml", "dvc.lock", "code_identity.yaml", "equivalences.yaml", "requirements-hashed.txt")


def test_tracked_files_stay_small() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=repository.ROOT, capture_output=True, text=True, check=True)
    files = [name for name in done.stdout.split("\0") if name and (repository.ROOT / name).is_file()]
    sizes = {name: (repository.ROOT / name).stat().st_size for name in files}
    results = sum(size for name, size in sizes.items() if name.startswith(RESULTS))
    assert len(sizes) > 400
    generated = sum(sizes[name] for name in GENERATED)
    assert generated < 500_000
    assert sum(sizes.values()) - results - generated < 3_500_000  # code, tests, params and docs, written by people
    assert results < 10_000_000
