# Everything a person needs: `make demo`, `make test`. Each target does its own set-up.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Other people's gateways, in an environment of their own: what they depend on is not ours.
GATEWAYS := .venv-gateways
GATEWAYS_STAMP := $(GATEWAYS)/.installed
INCIDENTS ?=
ORGS ?= 5
# How many simulated runs, from which seed, on how many cores.
SEEDS ?= 300
START ?= 0
JOBS ?= 2
# How long the real nodes are killed one after the other, in seconds.
SECONDS ?= 300

.PHONY: help demo test sim soak lint bench setup gateways lock clean
.DEFAULT_GOAL := help

help: ## List the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 10

setup: $(STAMP) ## Create .venv from the hash-locked dependencies

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; set PYTHON=/path/to/python3.11"; exit 1; }
	@echo "Setting up $(VENV) (once; about a minute) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

demo: $(STAMP) ## Five organizations publish, verify and follow signals (INCIDENTS=file.csv, KEEP=1)
	@$(BIN)/python -m orgnode.demo --orgs $(ORGS) $(if $(INCIDENTS),--incidents '$(INCIDENTS)') $(if $(KEEP),--keep)

gateways: $(GATEWAYS_STAMP) ## Create .venv-gateways: a real LiteLLM proxy and frameworks to try the node with

$(GATEWAYS_STAMP): tests/gateways/litellm.lock tests/gateways/frameworks.lock
	@echo "Setting up $(GATEWAYS) (once; a minute or two) ..."
	$(PYTHON) -m venv $(GATEWAYS)
	$(GATEWAYS)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r tests/gateways/litellm.lock
	$(GATEWAYS)/bin/pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r tests/gateways/frameworks.lock
	@touch $(GATEWAYS_STAMP)

test: $(STAMP) $(GATEWAYS_STAMP) ## The whole test suite, with a coverage floor
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term --cov-fail-under=95 $(ARGS)

sim: $(STAMP) ## Simulated runs with faults and liars (SEEDS=10000, START=0, JOBS=2)
	$(BIN)/python -m orgnode.testing.simcommand --seeds $(SEEDS) --start $(START) --jobs $(JOBS) $(ARGS)

soak: $(STAMP) ## kill -9 of a random real node every 3 s under load (SECONDS=300, and about a minute more)
	$(BIN)/python -m orgnode.testing.soak --seconds $(SECONDS) $(ARGS)

lint: $(STAMP) ## ruff, mypy strict, import contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP) ## Measure; writes benchmarks/results/*.json and prints a table
	$(BIN)/python -m benchmarks $(ARGS)

lock: ## Re-resolve the dependencies and their hashes (needs uv)
	uv pip compile pyproject.toml --extra fast --extra dev --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-header --quiet -o requirements.lock

clean: ## Remove what the targets made
	rm -rf $(VENV) $(GATEWAYS) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.*
