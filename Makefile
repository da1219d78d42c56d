# `make demo` and `make test` set up everything they need. `make help` lists the rest.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PYTHONPATH := $(CURDIR)/scripts
export PYTHONDONTWRITEBYTECODE := 1
# The requirements name every package; with --no-deps pip resolves nothing by itself. (It would otherwise look for a
# newer release of what is asked for with an extra, `coverage[toml]`, and then miss its hash.)
PINNED := --quiet --disable-pip-version-check --no-deps --require-hashes

.DEFAULT_GOAL := help
SPLIT ?= dev
N ?= 3
.PHONY: help env demo benchmark benchmark-implants test test-all coverage benchmark-convert benchmark-lesions benchmark-scale benchmark-cohort lint format config lock selftest clean

help:  ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "calciflow needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: envs/requirements.txt | $(VENV)/bin/python
	$(BIN)/python -m pip install $(PINNED) -r envs/requirements.txt
	@touch $@

$(VENV)/installed-dev: envs/requirements-dev.txt $(VENV)/installed
	$(BIN)/python -m pip install $(PINNED) -r envs/requirements-dev.txt
	@touch $@

env: $(VENV)/installed  ## the environment in .venv, from pinned and hashed requirements

demo: $(VENV)/installed  ## make the demo cohort's DICOM, run the whole workflow, say where the report is
	$(BIN)/python -m calciflow.phantom.demo demo
	./calciflow run .
	$(BIN)/python -m calciflow.summary results

benchmark: $(VENV)/installed  ## how wrong the workflow is, on phantoms of known truth: SPLIT=dev|test N=scans
	$(BIN)/python -m calciflow.benchmark $(SPLIT) $(N)

# hosts: folders or archives of one PET/CT each, by default the test data's
HOSTS ?= $(wildcard $(CALCIFLOW_TESTDATA)/sts/STS_*)
OUT ?= benchmark/implants
benchmark-implants: $(VENV)/installed  ## the same on deposits put into real scans: HOSTS="scan ..." OUT=folder
	@test -n "$(strip $(HOSTS))" || { echo 'name scans: make benchmark-implants HOSTS="dicom/a dicom/b" OUT=folder' >&2; exit 1; }
	$(BIN)/python -m calciflow.implant $(OUT) $(HOSTS)

selftest: $(VENV)/installed  ## check the SUV rules of this installation on made headers
	$(BIN)/python -m calciflow.selftest

test: $(VENV)/installed-dev  ## what a newcomer runs: fast tests and tiny end-to-end runs
	$(BIN)/python -m pytest -m "not slow and not realdata and not browser and not slurm" -n 2 --dist loadgroup
	@echo "left out here: long runs, real scans, the browser, Slurm; make test-all has them"

test-all: $(VENV)/installed-dev  ## all tests: also real scans (CALCIFLOW_TESTDATA), the browser, Slurm, long runs
	$(BIN)/python -m pytest -n 2 --dist loadgroup

coverage: $(VENV)/installed-dev  ## lines and branches of the library that its unit tests run (20 to 40 minutes); fails under 92 % of the branches
	rm -rf .coverage.d
	$(BIN)/coverage run -m pytest tests/unit -q
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report
	$(BIN)/coverage json --quiet -o .coverage.d/figures.json
	$(BIN)/python tests/branches.py .coverage.d/figures.json

benchmark-convert: $(VENV)/installed-dev  ## time and memory of index and convert beside dcm2niix, on a made CT of 512 x 512 x 580
	$(BIN)/python tests/benchmark/convert_speed.py

benchmark-lesions: $(VENV)/installed-dev  ## time and memory of finding 200 deposits on a CT of 512 x 512 x 580
	$(BIN)/python tests/benchmark/lesions_cost.py

benchmark-scale: $(VENV)/installed-dev  ## dry run of 3,000 scans beside a bare skeleton of as many jobs
	$(BIN)/python tests/benchmark/scale.py 3000

benchmark-cohort: $(VENV)/installed-dev  ## a cohort of tiny phantoms through everything, with throughput and overhead: N=scans (200)
	PYTHONPATH=$(PYTHONPATH):$(CURDIR)/tests/workflow $(BIN)/python tests/benchmark/cohort_run.py $(if $(filter file,$(origin N)),200,$(N)) --tsv benchmark/cohort.tsv

lint: $(VENV)/installed-dev  ## snakefmt, snakemake --lint, ruff, mypy
	$(BIN)/ruff check scripts tests
	$(BIN)/ruff format --check scripts tests
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/mypy
	$(BIN)/python -m snakemake --lint

format: $(VENV)/installed-dev  ## format the code
	$(BIN)/ruff check --fix scripts tests
	$(BIN)/ruff format scripts tests
	$(BIN)/snakefmt Snakefile rules

config: $(VENV)/installed  ## write config.yaml, schema.json and the tables of config/README.md anew
	$(BIN)/python -m calciflow.config_file $(CURDIR)

lock: $(VENV)/installed-dev  ## pin all versions anew (needs uv)
	cd envs && uv pip compile --python-version 3.11 --universal --no-header --generate-hashes --quiet requirements.in -o requirements.txt
	cd envs && uv pip compile --python-version 3.11 --universal --no-header --generate-hashes --quiet requirements-dev.in -o requirements-dev.txt
	$(BIN)/python envs/conda_from_pins.py

clean:  ## remove the scans and results of demo and benchmark; the environment stays
	rm -rf demo benchmark results logs private .snakemake .calciflow .coverage.d
