# Two commands matter: `make run` shows everything, `make test` checks everything.
# Needs Python 3.11 or newer; Node.js 20 or newer is used where it is there.

.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PY := $(VENV)/bin/python
BASE := $(VENV)/.installed-base
DEV := $(VENV)/.installed-dev
# FORCE when the environment's interpreter does not run.
BROKEN := $(shell scripts/venv-broken $(VENV))
CODE := benchmarks bridge chain compliance_graph settlement tests scripts/verify-receipt

# Anything that make should pass on: make run ARGS=--once
ARGS ?=
# Test processes; each has its own PostgreSQL, chain and emulator. One more than the two cores of a
# small machine: tests wait for a quarter of their time.
JOBS ?= 3
# Many processes are started; without their bytecode each would compile the project again.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help run setup test check fmt bench bench-gas bench-settlement bench-screening migrate contracts contracts-test contracts-long \
	contracts-mutate chaos chaos-sabotage slither pin clean clean-data FORCE

help: ## Show these lines
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1|/' \
		| while IFS='|' read -r name text; do printf '%-20s %s\n' "$$name" "$$text"; done

run: $(BASE) ## Start everything and sell a sample order (ARGS=--once stops afterwards)
	@scripts/node-packages base || true
	@exec $(VENV)/bin/tidegate serve --with-parent $(ARGS)

setup: $(DEV) ## Prepare .venv with everything that development needs
	@scripts/node-packages dev || true

test: setup check ## Format, lint, types, import law, and every test
	@$(PY) -m compliance_graph.warm
	@$(PY) -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(DEV) ## Format, lint and types alone
	@$(PY) -m ruff format --check $(CODE)
	@$(PY) -m ruff check $(CODE)
	@$(PY) -m mypy
	@$(PY) -m mypy scripts/verify-receipt

fmt: $(DEV) ## Format the code and fix what lint can fix
	@$(PY) -m ruff check --fix $(CODE)
	@$(PY) -m ruff format $(CODE)

bench: $(DEV) ## Compare the accepting route with a bare insert
	@scripts/node-packages base || true
	@$(PY) -m benchmarks.accept $(ARGS)

bench-gas: $(DEV) ## Gas per payout: the vault, single transfers, a plain loop
	@scripts/node-packages dev
	@$(PY) -m benchmarks.payout_gas $(ARGS)

bench-settlement: $(DEV) ## Orders settled per second, beside plain SQL and other designs
	@scripts/node-packages base || true
	@$(PY) -m pip install --quiet --editable '.[bench]' --constraint requirements/dev.txt
	@$(PY) -m benchmarks.settlement $(ARGS)

bench-screening: $(DEV) ## One screening end to end, hubs included; at ten times the edges, too
	@$(PY) -m pip install --quiet --editable '.[train]' --constraint requirements/dev.txt
	@$(PY) -m benchmarks.screening $(ARGS)

chaos: $(DEV) ## The long storm: kills, faults, reorganisations, then an audit (ARGS="--seed 2")
	@scripts/node-packages base || true
	@$(PY) -m tests.chaos --orders 500 --kills 100 --reorgs 10 $(ARGS)

chaos-sabotage: $(DEV) ## Switch every guard off in turn: the audit must notice each
	@scripts/node-packages base || true
	@$(PY) -m tests.chaos.guards $(ARGS)

migrate: $(BASE) ## Bring the database to the newest schema
	@$(VENV)/bin/tidegate migrate

contracts: ## Compile the contracts into contracts/artifacts
	@scripts/node-packages dev
	@npm run --silent contracts:build

contracts-test: contracts ## Test the contracts with forge, and compare their gas with the snapshot
	@npm run --silent contracts:test
	@npm run --silent contracts:gas -- --check snapshots/gas.txt

contracts-long: contracts ## The same with 10,000 fuzz runs and long invariants (about half an hour)
	@FOUNDRY_PROFILE=long npm run --silent contracts:test

contracts-mutate: ## Break every guard in turn: a test must fail for each (about an hour)
	@scripts/node-packages dev
	@node contracts/mutate.mjs

slither: ## Static analysis of the contracts, in an environment of its own
	@scripts/node-packages dev
	@scripts/slither

pin: ## Write requirements/*.txt anew from pyproject.toml
	@requirements/pin.sh "$$(scripts/find-python)"

clean: ## Remove environments and caches; keeps the data folder
	@rm -rf $(VENV) node_modules build dist *.egg-info
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

clean-data: ## Remove the demo's data folder: database, chain, keys
	@rm -rf data

# The stamps are written last: what was interrupted is done again, and an environment whose
# interpreter is gone is made anew.
$(BASE): requirements/base.txt pyproject.toml scripts/python-packages $(BROKEN)
	@scripts/python-packages base $(VENV)

$(DEV): requirements/base.txt requirements/dev.txt pyproject.toml scripts/python-packages $(BROKEN)
	@scripts/python-packages dev $(VENV)

FORCE:
