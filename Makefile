# `make run` and `make test` do all their own set-up: they need Python 3.11 or newer, git and make.
PYTHON ?= python3
VENV ?= .venv
BIN ?= $(VENV)/bin
EXPERIMENT ?= digits
MINUTES ?= 30
SNAKEMAKE = PATH="$(abspath $(BIN)):$$PATH" $(BIN)/snakemake

.PHONY: help run test bench engines chaos cluster share repro repro-only lint format clean setup

help:  ## What can be made.
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/:/'

run: setup  ## Set up, then run the default experiment: real digits to a report (EXPERIMENT=name for another).
	$(SNAKEMAKE) --config experiment=$(EXPERIMENT)
	@$(BIN)/dcpipe show $(EXPERIMENT)

test: setup lint  ## Set up, then lint, type check and run the tests (LONG=1: those of minutes as well).
	PATH="$(abspath $(BIN)):$$PATH" $(if $(LONG),DCPIPE_LONG=1 )$(BIN)/python -m pytest -q -n 2 --dist loadgroup --durations=10

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
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[digits,images,report,engines,dev]"
	@touch $@
