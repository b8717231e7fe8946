# `make results` and `make test` need Python 3.11 and nothing else.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
# DVC starts the stages' `python` from the environment.
export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: results test ablations large lint install site-key clean

results: $(VENV)/.installed  ## set up, run the pipeline, print the results table
	dvc repro
	@cat results/README.md

test: $(VENV)/.installed  ## set up, run the test suite
	pytest -n logical --maxprocesses 8 --dist loadfile

ablations: $(VENV)/.installed  ## the ablation table, in a copy of the repository; rows that still hold are kept
	python benchmarks/ablations.py

large: $(VENV)/.installed  ## a larger run for a machine with a GPU, into results/gpu
	python benchmarks/large_run.py

lint: $(VENV)/.installed  ## ruff and mypy
	ruff check .
	ruff format --check .
	mypy

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

site-key: $(VENV)/.installed  ## once per site: make site-key KEY=/safe/place/site.key
	python -m stages.artifacts.make_key "$(KEY)" --link data/site.key

clean:  ## training state and caches of the stages
	rm -rf work
