# One command each; everything is set up in .venv by itself. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
SEEDS ?= 500
JOBS ?= 2

.PHONY: help setup demo test lint format histories mirror-mutants chaos mutants bench lock clean

help:            ## list the commands
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.venv/.ready: requirements-dev.lock pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check --require-hashes -r requirements-dev.lock
	$(BIN)/python -m pip install -qq --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

setup: .venv/.ready   ## make .venv with everything in it, versions pinned

demo: setup      ## embedded PostgreSQL + Marketo simulator + the daemon, and a tour (ARGS=--once ends after it)
	$(BIN)/syncd demo $(ARGS)

test: setup      ## all tests, JOBS=2 at a time (ARGS are handed to pytest)
	$(BIN)/python -m pytest -n $(JOBS) --dist worksteal $(ARGS)

lint: setup      ## ruff, mypy --strict, import-linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup    ## rewrite the code as ruff wants it
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .

histories: setup ## seeded histories of both sides (SEEDS=500, JOBS=2; SEED=7 lives one, and tells its steps)
	$(BIN)/python -m tests.histories $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --jobs $(JOBS)) $(ARGS)

chaos: setup     ## seeded histories of the outbox under every fault (SEEDS=1000; SEED=7 lives one and tells its steps; PROCESSES=1: real processes)
	$(BIN)/python -m tests.chaos $(if $(PROCESSES),--processes) $(if $(SEED),--seed $(SEED),--seeds $(SEEDS) --jobs $(JOBS)) $(ARGS)

mutants: setup   ## break promises of the outbox, one at a time; its histories must see each
	$(BIN)/python -m tests.histories.mutants --kind chaos $(ARGS)

mirror-mutants: setup ## break promises of the mirror, one at a time; the histories must see each
	$(BIN)/python -m tests.histories.mutants $(ARGS)

bench: setup     ## figures with their goals, one a line (BENCH_JSON=file writes them as JSON too)
	$(BIN)/python -m tests.bench $(ARGS)

lock:            ## pin every dependency anew (needs uv)
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --all-extras --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile -q --universal --generate-hashes --python-version 3.11 --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --group build -c requirements-dev.lock -o requirements-build.lock

clean:           ## remove what the commands above made
	rm -rf .venv dist .mypy_cache .ruff_cache .import_linter_cache
