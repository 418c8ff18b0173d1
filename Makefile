# Every target makes .venv first where it is missing or out of date: all that is needed is Python 3.11 or later and make.

PYTHON ?= python3
CORES ?= $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)
CONFIG ?=
CHECK ?=
COMMENT ?=
SNAKEMAKE_ARGS ?=
PYTEST_ARGS ?=

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory --no-builtin-rules
SYSTEM_PATH := $(PATH)
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.DEFAULT_GOAL := help
.PHONY: help setup report plan verify golden test check format docs suite bench bench-jacobian architectures lock clean distclean \
	claims-power

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 24
	@echo
	@echo '  CORES=4  CONFIG=config/other.yaml  SNAKEMAKE_ARGS="--dry-run"  PYTEST_ARGS="-k name"  PYTHON=python3.12'

setup: ## make .venv and install what the lock says; returns immediately where that is done
	@PATH='$(SYSTEM_PATH)' $(PYTHON) tools/setup_env.py

report: setup ## run the whole workflow, up to the report; only what has changed runs again
	@test -z '$(CONFIG)' || test -r '$(CONFIG)' || { echo "error: CONFIG=$(CONFIG) cannot be read: give the path of a YAML file" >&2; exit 1; }
	@.venv/bin/snakemake --cores $(CORES) $(if $(CONFIG),--configfile $(CONFIG)) $(SNAKEMAKE_ARGS)

plan: setup ## what the run will take: jobs, rows, GFLOP, memory, disk and minutes; CHECK=1 compares, COMMENT=1 writes it into the config
	@.venv/bin/python -m plateaus.plan $(CONFIG) --cores $(CORES) $(if $(CHECK),--check) $(if $(COMMENT),--comment)

verify: ## recompute the default run, and compare its tables and claims with what is committed in tests/golden
	@$(MAKE) report CONFIG=
	@.venv/bin/python -m plateaus.run.golden --check

golden: ## write tests/golden anew from the default run
	@$(MAKE) report CONFIG=
	@.venv/bin/python -m plateaus.run.golden --write

test: setup ## run the tests
	@.venv/bin/pytest -n 2 --dist worksteal $(PYTEST_ARGS)

check: setup ## lint, formatting, types and order of imports, of the Python and of the workflow
	@.venv/bin/ruff check
	@.venv/bin/ruff format --check
	@.venv/bin/mypy
	@.venv/bin/lint-imports
	@.venv/bin/snakefmt --check Snakefile workflow
	@.venv/bin/snakemake --lint

format: setup ## mend what ruff and snakefmt can mend
	@.venv/bin/ruff check --fix-only
	@.venv/bin/ruff format
	@.venv/bin/snakefmt Snakefile workflow

docs: setup ## write config/README.md from the schema
	@.venv/bin/python -m plateaus.config.readme

suite: setup ## draw config/prompts/suite.tsv and its manifest from the lexicon
	@.venv/bin/python -m plateaus.prompts.suite

bench: setup ## time every stage against the usual way and against its arithmetic: results/bench/index.html
	@.venv/bin/python -m plateaus.bench $(CONFIG) --cores $(CORES)

bench-jacobian: setup ## time the closed-form Jacobian norm against torch.func.jacrev at GPT-2 Large's sizes
	@.venv/bin/python tools/bench_jacobian.py

architectures: setup ## measure every supported architecture against plain models and autograd, as a table
	@.venv/bin/python -m tests.architectures

claims-power: setup ## false positives and power of every claim's test, over 500 and 200 made-up runs
	@.venv/bin/python tools/claims_power.py --jobs $(CORES)

# A GPU build of torch brings its own libraries, in versions that torch pins itself: they do not belong in the lock.
lock: setup ## remake requirements.lock with the newest versions that pyproject.toml allows
	@.venv/bin/uv pip compile --quiet --upgrade --universal --extra dev --no-annotate --no-emit-index-url \
		--custom-compile-command 'make lock' pyproject.toml | grep -vE '^(nvidia-|cuda-|triton)' > .venv/new.lock
	@mv .venv/new.lock requirements.lock

clean: ## remove results and the workflow's records; keep .venv and fetched models
	@rm -rf results .snakemake

distclean: clean ## remove .venv, fetched models and caches too
	@rm -rf .venv resources .mypy_cache .pytest_cache .ruff_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
	@rm -rf src/*.egg-info
