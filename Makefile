# `make run` and `make test` do all their own set-up: they need Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN ?= $(VENV)/bin
EXPERIMENT ?= digits
EXTRAS = digits,images,report,engines,dev
MINUTES ?= 30
SNAKEMAKE = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake

.PHONY: help run test bench engines chaos cluster share repro repro-only lint format clean setup hashes audit sbom

help:  ## What can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

run: setup  ## Set up, then run the default experiment: real digits to a report (EXPERIMENT=name for another).
	$(SNAKEMAKE) --config experiment=$(EXPERIMENT)
	@$(BIN)/dcpipe show $(EXPERIMENT)

test: setup lint  ## Set up, then lint, type check and run the tests (SLOW=1: all that CI runs; LONG=1: those of minutes as well).
	PATH="$(abspath $(BIN)):$$PATH" $(if $(LONG),DCPIPE_LONG=1 )$(BIN)/python -m pytest -q -n 2 --dist loadgroup --durations=10 $(if $(SLOW)$(LONG),,-m "not slow")

bench: setup  ## Speed, memory and error beside the public way; about an hour on one core (BENCH=--quick: a minute).
	$(BIN)/python -m benchmarks.hypergradient $(BENCH) --json bench-hypergradient.json
	$(BIN)/python benchmarks/pipeline.py $(BENCH) --json bench-pipeline.json

engines: setup  ## The long test of both engines on the tiny experiment: bits, rerun sets, poisonings, kills.
	PATH="$(abspath $(BIN)):$$PATH" DCPIPE_LONG=1 $(BIN)/python -m pytest -q -s tests/engines

chaos: setup  ## Half an hour of kills, signals, full disks, rot, hostile files and more; one table (MINUTES=30 SEED=...).
	PATH="$(abspath $(BIN)):$$PATH" PYTHONPATH=src:tests:tests/chaos $(BIN)/python tests/chaos/chaos.py --minutes $(MINUTES) $(if $(SEED),--seed $(SEED))

cluster: setup  ## The long test of the profiles on a real SLURM cluster of this machine alone (Debian's slurm-wlm, munge).
	tests/cluster/install
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[slurm,cluster]"
	PATH="$(abspath $(BIN)):$$PATH" DCPIPE_CLUSTER=1 $(BIN)/python -m pytest -q -s -rs tests/cluster

share: setup  ## The long test of sharing: push, pull and repro --pull by a folder and by an S3 server on the loopback.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[share-test]"
	PATH="$(abspath $(BIN)):$$PATH" DCPIPE_SHARE=1 $(BIN)/python -m pytest -q -rs tests/sharing

repro: setup repro-only  ## Reproduce an experiment through DVC, serially and exactly.

repro-only:
	PATH="$(abspath $(BIN)):$$PATH" $(BIN)/dcpipe repro $(EXPERIMENT)

lint: setup  ## Format check, lint, types, and the compiled graph.
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell src tests workflow params README.md CONTRIBUTING.md CHANGELOG.md
	$(BIN)/snakefmt --check Snakefile workflow/rules
	$(BIN)/dcpipe graph check

format: setup  ## Put the code in its house style.
	$(BIN)/ruff check --fix . && $(BIN)/ruff format . && $(BIN)/snakefmt Snakefile workflow/rules

clean:  ## Remove everything that rules made (not DVC's cache).
	rm -rf artifacts results costs logs state .snakemake

setup: $(VENV)/.done

$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit("dcpipe needs Python 3.11 or newer; this is " + sys.version.split()[0] + ": make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv $(VENV)
ifdef SECURE
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement requirements-hashed.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
else
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[$(EXTRAS)]"
endif
	@touch $@

hashes: setup  ## Write requirements-hashed.txt anew: what is installed here, each with its file's SHA-256 (SECURE=1 installs by it).
	$(BIN)/python -m pip install --quiet --dry-run --ignore-installed --constraint constraints.txt --report hashes.json ".[$(EXTRAS)]"
	$(BIN)/python -c "import json; found = [(each['metadata'], each['download_info'].get('archive_info')) for each in json.load(open('hashes.json'))['install']]; open('requirements-hashed.txt', 'w').writelines(sorted(f'{about[\"name\"]}=={about[\"version\"]} --hash=sha256:{file[\"hashes\"][\"sha256\"]}\n' for about, file in found if about['name'] != 'dcpipe'))"
	@rm hashes.json

audit:  ## Known vulnerabilities in the pinned versions, by the advisories of PyPI (asks the network).
	$(PYTHON) -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check pip-audit
	.tools/bin/pip-audit --strict --disable-pip --require-hashes --requirement requirements-hashed.txt

sbom:  ## The software bill of materials of the pinned versions, as CycloneDX: sbom.json.
	$(PYTHON) -m venv .tools && .tools/bin/python -m pip install --quiet --disable-pip-version-check cyclonedx-bom
	.tools/bin/cyclonedx-py requirements requirements-hashed.txt --output-reproducible --output-file sbom.json
