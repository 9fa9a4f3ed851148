# Everything a newcomer needs starts here: `make` lists the targets.
# All of it happens in .venv and .local; downloads are kept in the user's cache folder.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

BIN := .venv/bin
AWAWAY := $(BIN)/awaway
IS_SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 15))
# More words for the command, as in: make demo ARGS="--users 500 --seed 7"
ARGS ?=

.PHONY: help
help: ## List the targets
	@printf 'usage: make <target> [ARGS="..."]\n\n'
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: install ## Watch a simulated month flow through real Kafka, and check it against the oracle
	@$(AWAWAY) demo $(ARGS)

.PHONY: test
test: install ## All checks and tests: lint, types, layers, unit to end to end (minutes)
	@.ci/check static tests

.PHONY: quick
quick: install ## The checks and tests that need no servers
	@.ci/check static quick

.PHONY: verify
verify: install ## Everything in `test`, then the long tests
	@.ci/check static tests verify

.PHONY: bench
bench: install ## Measure throughput and delay against the peers (several minutes)
	@$(BIN)/python -m bench $(ARGS)

.PHONY: chaos
chaos: install ## Break everything at random under load, then check (MINUTES=5 SEED=7 ARGS="--help")
	@$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) $(ARGS)

.PHONY: simulate
simulate: install ## Drive the engine against a simulated Kafka and disk: a thousand seeds (a minute)
	@$(BIN)/python -m simulator $(ARGS)

.PHONY: mutants
mutants: install ## Sow small faults into the engine and the rules: a test or a seed must notice each
	@$(BIN)/python -m mutants $(ARGS)

.PHONY: bench-api
bench-api: install ## Measure the read API beside a bare route, and load a million users (minutes)
	@$(BIN)/python -m bench.api $(ARGS)

.PHONY: stack-up
stack-up: install ## Start Kafka and the schema registry here, and leave them running
	@$(AWAWAY) local up $(ARGS)

.PHONY: stack-down
stack-down: install ## Stop them; their data stays
	@$(AWAWAY) local down $(ARGS)

.PHONY: stack-status
stack-status: install ## Ask them how they are
	@$(AWAWAY) local status $(ARGS)

.PHONY: format
format: install ## Bring the code into its one form
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

.PHONY: install
install: .venv/.package ## Make .venv with the locked packages (the other targets do it themselves)

.PHONY: lock
lock: .venv/.locker ## Pin the newest allowed versions of all packages, with hashes
	@for set in runtime dev lock; do \
		echo "locking requirements/$$set.txt"; \
		.venv-lock/bin/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
			--no-emit-index-url --output-file requirements/$$set.txt requirements/$$set.in; \
	done

.PHONY: lock-jars
lock-jars: install ## Pin the files of Kafka and the registry, with hashes
	@$(BIN)/python -m pipeline.dev.local.pinning

.PHONY: clean
clean: ## Stop the local stack and a kept demo; remove their data, caches and build leftovers
	@if [ -x $(AWAWAY) ]; then \
		$(AWAWAY) local down; \
		if [ -d .local/demo/stack ]; then \
			echo "a demo's:"; \
			$(AWAWAY) local down --root .local/demo/stack; \
			$(BIN)/python -m pipeline.dev.demo.console end .local/demo; \
		fi; \
	fi
	@rm -rf .local .coverage .coverage.* .pytest_cache .mypy_cache .ruff_cache .grimp_cache \
		.import_linter_cache .hypothesis build dist *.egg-info
	@find . -path ./.venv -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf

.PHONY: clean-all
clean-all: clean ## The same, and remove .venv too
	@rm -rf .venv .venv-lock

# --- What the targets above stand on -------------------------------------------------------------

.venv/bin/python:
	@python=; \
	for candidate in $(PYTHON) python3.11 python3.12 python3.13 python3.14 python3 python; do \
		if "$$candidate" -c '$(IS_SUPPORTED)' 2>/dev/null; then python=$$candidate; break; fi; \
	done; \
	if [ -z "$$python" ]; then \
		echo "error: Python 3.11 to 3.14 is needed" >&2; \
		echo "  fix: install it, or name it: make PYTHON=/path/to/python3.11" >&2; \
		exit 1; \
	fi; \
	echo "making .venv with $$("$$python" --version)"; \
	"$$python" -m venv --clear .venv

# The locks name everything, so pip resolves nothing (--no-deps): given the choice, an old pip takes a
# newer release for `coverage[toml]` than the one that is pinned, and then misses its hash.
.venv/.dependencies: .venv/bin/python requirements/dev.txt
	@echo "installing the locked packages (the first time takes a minute or two)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes \
		-r requirements/dev.txt
	@found=$$($(BIN)/python -m pip check --disable-pip-version-check) || { echo "$$found" >&2; exit 1; }
	@touch $@

# The build backend is among the locked packages, so this fetches nothing.
.venv/.package: .venv/.dependencies pyproject.toml requirements/runtime.in
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-index \
		--no-build-isolation --editable .
	@touch $@

.venv/.locker: .venv/bin/python requirements/lock.txt
	@$(BIN)/python -m venv --clear .venv-lock
	@.venv-lock/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
		--require-hashes -r requirements/lock.txt
	@touch $@
