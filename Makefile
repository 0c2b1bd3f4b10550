PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/node

.DEFAULT_GOAL := help
.PHONY: help run test lint node-deps bench bench-pool live clients clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run  ## install what is needed and start Patchbay
	@exec $(BIN)/python manage.py runproxy

test: $(VENV)/.dev  ## install the development set and run the whole suite
	@exec $(BIN)/python -m pytest -n auto --dist loadfile

lint: $(VENV)/.dev  ## style, types, import contracts, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

node-deps: $(NODE)/node_modules/.done  ## install the JavaScript SDKs that some tests use

bench: $(VENV)/.dev  ## measure cost and speed beside other gateways (installs them)
	@exec $(BIN)/python -m bench

bench-pool: $(VENV)/.dev  ## replay weeks of traffic through the pool: which strategy meets fewer limits
	@exec $(BIN)/python -m bench.pool

live: $(VENV)/.dev  ## try Patchbay against a real model server with a tiny random model
	@exec $(BIN)/python -m bench.live

clients: $(VENV)/.dev  ## connect Claude Code, Codex, aider, opencode, Continue and llm, and run them and the SDKs to a backend of another protocol
	@exec $(BIN)/python -m bench.clients

clean:  ## remove the virtual environment and caches
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis bench/.work .live .clients $(NODE)/node_modules

$(VENV)/bin/python:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Patchbay needs Python 3.11 or newer; run make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

$(VENV)/.run: $(VENV)/bin/python requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	@touch $@

$(NODE)/node_modules/.done: $(NODE)/package.json $(NODE)/package-lock.json
	cd $(NODE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
