# Everything a user or a developer does with a checkout. `make help` lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := UV_PROJECT_ENVIRONMENT=$(VENV) $(BIN)/uv
PIP_INSTALL := $(UV) pip install --quiet --python $(BIN)/python
PACKAGES := config domain models stores actors deployments cluster
SOURCES := $(PACKAGES) tests benchmarks

TEST_PROCESSES ?= 2

# Where the corpora are, and where trainings keep their state.
DATA ?= ../shared/data
RUN ?= .data/training

export OMP_NUM_THREADS ?= 1

# Where bytecode is not written beside the sources, each start would compile torch and Ray anew.
export PYTHONPYCACHEPREFIX ?= $(abspath $(VENV))/bytecode
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run down test test-unit mutants check format bench-assertion bench-linking bench-models bench-audit bench-auth bench-bulk bench-spine train-embedder train-linking train-recogniser train-scopes docs readme lock clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-zA-Z0-9_-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## Install what is missing, start the platform with demo documents, stay in front (Ctrl-C stops it)
	@$(BIN)/medsearch up

down: ## Stop the platform that runs on this checkout's data folder
	@$(BIN)/medsearch down

test: $(VENV)/.installed-dev ## Install what is missing, run the whole test suite, print branch coverage
	$(BIN)/python -m pytest -p tests.coverage --numprocesses=$(TEST_PROCESSES)

test-unit: $(VENV)/.installed-dev ## Only the tests without servers: seconds
	$(BIN)/python -m pytest tests/unit

mutants: $(VENV)/.installed-dev ## Do the access code 50 small wrongs; its unit tests must notice each (two minutes)
	$(BIN)/python -m tests.mutants

check: $(VENV)/.installed-dev ## Format, lint, types, import rules
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

format: $(VENV)/.installed-dev ## Format the code and mend what the linter can
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

bench-spine: $(VENV)/.installed-dev ## Measure the whole way beside what one would use instead (DOCUMENTS=2000, about an hour)
	$(BIN)/python -m benchmarks.spine --documents $(or $(DOCUMENTS),2000)

bench-bulk: $(VENV)/.installed-dev ## Kill a bulk load half way, submit it again, upload beside it (DOCUMENTS=2000)
	$(BIN)/python -m benchmarks.bulk --documents $(or $(DOCUMENTS),2000)

bench-assertion: $(VENV)/.installed-dev ## Assertion beside negspacy and medspaCy, the same mentions (six minutes)
	$(BIN)/python -m benchmarks.models_assertion

bench-linking: $(VENV)/.installed-dev ## Link synonyms that were held out of the terminologies; speed and memory (four minutes)
	$(BIN)/python -m benchmarks.models_linking

bench-models: $(VENV)/.installed-dev ## All models on what they were not trained on, beside what one would use instead (18 minutes)
	$(BIN)/python -m benchmarks.models --data $(DATA)

train-embedder: $(VENV)/.installed ## Train the adapter of the shipped encoder (half an hour; goes on where it was stopped)
	$(BIN)/python -m models.training.embedding --data $(DATA) --out $(RUN)/embedder --threads $(or $(THREADS),2)

train-linking: $(VENV)/.installed ## Train the vectors of names anew and fit the scores, from the packaged terminologies
	$(BIN)/python -m models.training.linking

train-scopes: $(VENV)/.installed-dev ## Train the scopes of negation and speculation anew, from BioScope (a minute)
	$(BIN)/python -m models.training.scopes $(DATA)/negation/bioscope_abstracts_papers.jsonl.gz

bench-audit: $(VENV)/.installed-dev ## Write, seal, read and verify a million audit records (RECORDS=1000000, ten minutes)
	$(BIN)/python -m benchmarks.audit --records $(or $(RECORDS),1000000)

bench-auth: $(VENV)/.installed-dev ## Time refused and complete logins, and searches beside a flood of logins (TRIALS=2000, 15 minutes)
	$(BIN)/python -m benchmarks.auth --trials $(or $(TRIALS),2000)

train-recogniser: $(VENV)/.installed ## Train the recogniser, measure it, and put its weights in place (hours; goes on where it was stopped)
	$(BIN)/python -m models.training.recognition --data $(DATA) --out $(RUN)/recogniser --threads $(or $(THREADS),2)
	$(BIN)/python -m models.training.shipping --data $(DATA) --run $(RUN)/recogniser

docs: $(VENV)/.installed ## Write the pages of settings and roles anew
	$(BIN)/python -m config.reference > docs/settings.md
	$(BIN)/python -m domain.roles_page > docs/roles.md

readme: $(VENV)/.installed-dev ## Write the README's tour anew, from the running platform of this checkout
	$(BIN)/python -m tests.e2e.tour

lock: $(BIN)/uv ## Compile the lock files anew: hashes, no addresses
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header requirements.in -o requirements.lock
	$(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header requirements-dev.in -o requirements-dev.lock

clean: ## Remove the virtual environment and caches (never the data folder)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

$(BIN)/uv: requirements-uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "medsearch needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.lock
	@touch $@

$(VENV)/.installed: $(BIN)/uv requirements.lock pyproject.toml
	$(PIP_INSTALL) --require-hashes -r requirements.lock
	$(PIP_INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	$(PIP_INSTALL) --require-hashes -r requirements-dev.lock
	@touch $@
