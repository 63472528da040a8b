# Every target sets up what it needs in .venv; a fresh machine needs Python >= 3.11, make and a C library.
VENV ?= .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$p; break; }; done)
STAMP := $(VENV)/.installed
DATA ?=

.PHONY: help install demo serve cluster test test-slow chaos bench bench-full bench-gpu lint format type docs clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "slicebank needs Python 3.11 or newer; install one or set PYTHON=/path/to/python"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing slicebank into $(VENV) (about 6 GB with PyTorch; a few minutes the first time)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

install: $(STAMP)  ## install slicebank with everything into .venv

demo: $(STAMP)  ## phantoms (or DATA=folder of DICOM) to a prediction, leaving nothing running
	$(BIN)/slicebank demo $(if $(DATA),--data "$(DATA)")

serve: $(STAMP)  ## run the whole service here
	$(BIN)/slicebank serve

cluster: $(STAMP)  ## the distributed deployment as plain processes, until Ctrl-C: PostgreSQL, Valkey, S3, 2 APIs, 5 workers
	$(BIN)/python -m tests.cluster

test: $(STAMP)  ## the test suite
	$(BIN)/python -m pytest -m "not slow and not gpu"

test-slow: $(STAMP)  ## the long forms
	$(BIN)/python -m pytest -m "slow"

chaos: $(STAMP)  ## the long chaos run (eight minutes); CHAOS_SEED=N repeats a schedule
	$(BIN)/python -m pytest -s -m "slow" tests/chaos

bench: $(STAMP)  ## benchmarks in their short form (10 minutes), results as JSON below benchmarks/results
	$(BIN)/python -m benchmarks

bench-full: $(STAMP)  ## benchmarks in the form whose figures are quoted (an hour), on a quiet machine
	$(BIN)/python -m benchmarks --full
	$(BIN)/python -m benchmarks.page

bench-gpu: $(STAMP)  ## the benchmarks that need a CUDA device
	$(BIN)/python -m benchmarks --gpu --full
	$(BIN)/python -m benchmarks.page

lint: $(STAMP)  ## ruff and import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

format: $(STAMP)  ## format in place
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

type: $(STAMP)  ## mypy, strict
	$(BIN)/mypy

docs: $(STAMP)  ## check that links and names in docs are real
	$(BIN)/python -m pytest tests/docs

clean:  ## remove caches and the demo's output (the environment stays)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis demo-output
