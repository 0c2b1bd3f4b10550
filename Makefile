PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
NODE := tests/node
TOOLS := $(VENV)/tools
COMPILE := CUSTOM_COMPILE_COMMAND='make lock' $(TOOLS)/bin/pip-compile --quiet --generate-hashes --strip-extras --allow-unsafe --no-emit-options

.DEFAULT_GOAL := help
.PHONY: help run test test-postgres promises lint node-deps bench soak bench-pool live clients screenshots lock sbom audit fuzz fuzz-api clean

help:  ## what can be made
	@grep -E '^[a-z-]+:.*##' Makefile | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run  ## install what is needed and start Patchbay
	@exec $(BIN)/python manage.py runproxy

test: $(VENV)/.dev  ## install the development set and run the whole suite
	@exec $(BIN)/python -m pytest -n auto --dist loadfile

test-postgres: $(VENV)/.dev  ## run the whole suite on PostgreSQL and Redis (needs PostgreSQL's programs)
	@PATCHBAY_TESTS_ON=postgres exec $(BIN)/python -m pytest -n auto --dist loadfile

promises: $(VENV)/.dev  ## the promises that take minutes to show: kills, full disks, locks, file handles (PROMISES_KILLS=200)
	@exec $(BIN)/python -m pytest -m promises -s tests

lint: $(VENV)/.dev  ## style, types, import contracts, migrations
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

node-deps: $(NODE)/node_modules/.done  ## install the JavaScript SDKs that some tests use

bench: $(VENV)/.dev  ## measure cost and speed beside other gateways (installs them)
	@exec $(BIN)/python -m bench

soak: $(VENV)/.dev  ## mixed traffic for MINUTES (10) minutes: does anything grow?
	@exec $(BIN)/python -m bench.soak --minutes $(or $(MINUTES),10)

bench-pool: $(VENV)/.dev  ## replay weeks of traffic through the pool: which strategy meets fewer limits
	@exec $(BIN)/python -m bench.pool

live: $(VENV)/.dev  ## try Patchbay against a real model server with a tiny random model
	@exec $(BIN)/python -m bench.live

clients: $(VENV)/.dev  ## connect Claude Code, Codex, aider, opencode, Continue and llm, and run them and the SDKs to a backend of another protocol
	@exec $(BIN)/python -m bench.clients

screenshots: $(VENV)/.dev $(NODE)/node_modules/.done  ## take the pictures of the documentation from a demo server (needs Chromium)
	@exec $(BIN)/python -m bench.screenshots

lock: $(TOOLS)/.done  ## pin every dependency with its hashes: requirements.lock, requirements-dev.lock
	$(COMPILE) --output-file requirements.lock requirements.txt requirements-postgres.txt
	$(COMPILE) --output-file requirements-dev.lock requirements-dev.txt requirements-postgres.txt

sbom: $(VENV)/.run  ## write what Patchbay is made of as CycloneDX JSON: sbom.json
	@$(BIN)/python deploy/sbom.py sbom.json

audit: $(TOOLS)/.done  ## look up known weaknesses of the locked dependencies (needs pypi.org)
	@$(BIN)/python -c 'import urllib.request as u; u.urlopen("https://pypi.org/pypi/pip/25.0/json", timeout=10)' 2>/dev/null \
	  || { echo "audit: pypi.org does not tell weaknesses here, so nothing was looked up. Run it where it can."; exit 1; }
	@$(TOOLS)/bin/pip-audit --strict --disable-pip --require-hashes -r requirements.lock

fuzz: $(VENV)/.dev  ## feed what reads strangers' bytes with inputs that nobody meant (SECONDS=20 for each of 12 targets)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade --target $(VENV)/atheris atheris==3.0.0 \
	  || echo "fuzz: atheris cannot be installed here; hypothesis makes the inputs."
	@PYTHONPATH=$(VENV)/atheris $(BIN)/python -m bench.fuzz --seconds $(or $(SECONDS),20)

fuzz-api: $(VENV)/.dev $(TOOLS)/.done  ## send a demo server what its OpenAPI document allows, and check the answers
	@exec $(BIN)/python -m bench.fuzz_api $(TOOLS)/bin/schemathesis

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

$(TOOLS)/.done: $(VENV)/bin/python Makefile
	$(PYTHON) -m venv $(TOOLS)
	$(TOOLS)/bin/pip install --quiet --disable-pip-version-check pip-tools==7.6.2 pip-audit==2.10.1 schemathesis==4.32.5
	@touch $@

$(NODE)/node_modules/.done: $(NODE)/package.json $(NODE)/package-lock.json
	cd $(NODE) && npm ci --no-audit --no-fund --loglevel=error
	@touch $@
