# Few verbs. `make demo` and `make test` do all their own set-up on a machine with Python >= 3.11.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready-test
RUNTIME_STAMP := $(VENV)/.ready
WORKERS ?= 2
.DEFAULT_GOAL := help
.PHONY: help setup setup-test demo test check bench soak docs lock clean

help: ## list the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

setup: $(RUNTIME_STAMP) ## a virtual environment under .venv with the command at .venv/bin/tokenward

$(BIN)/python:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "tokenward needs Python 3.11 or newer; set PYTHON=…")'
	$(PYTHON) -m venv $(VENV)

$(RUNTIME_STAMP): $(BIN)/python requirements/runtime.txt requirements/demo.txt requirements/build.txt pyproject.toml
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/demo.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/build.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@

setup-test: $(STAMP)

$(STAMP): $(RUNTIME_STAMP) requirements/test.txt
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/test.txt
	@touch $@

demo: $(RUNTIME_STAMP) ## real SDK traffic, then four keys that leak: watched, capped, bound, bare; the bill beside the ledger
	$(BIN)/tokenward demo

test: $(STAMP) check ## lint, types, contracts and the whole suite
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

check: $(STAMP) ## lint, format, types, import contracts
	$(BIN)/ruff check src tests benchmarks
	$(BIN)/ruff format --check src tests benchmarks
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

bench: $(STAMP) ## the benchmarks, one after another
	$(BIN)/python -m benchmarks

soak: $(STAMP) ## long storms, kills and fuzzing
	$(BIN)/python -m pytest -m soak -n $(WORKERS) --maxschedchunk 1 -rP

docs: $(STAMP) ## rewrite the parts of the docs that a tool writes
	$(BIN)/python -m tests.house.write_docs

lock: ## pin the requirements anew, with hashes (needs uv)
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q pyproject.toml -o requirements/runtime.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q pyproject.toml --extra network requirements/demo.in -o requirements/demo.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q requirements/build.in -o requirements/build.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q pyproject.toml --extra tokenizer --extra client --extra keyring --extra postgres --extra network requirements/demo.in requirements/build.in requirements/test.in -o requirements/test.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q tests/clients/suites.in -o tests/clients/suites.txt
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header -q tests/clients/programs.in -o tests/clients/programs.txt

clean: ## remove what the verbs made
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
