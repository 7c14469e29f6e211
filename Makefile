# make run   the whole experiment on this machine, with embedded defaults
# make test  the tests, without the slow ones
# Both install what they need: uv into .tools/ if it is absent, Python packages into .venv/.

UV_VERSION := 0.13.9
UV := $(or $(shell command -v uv 2>/dev/null),.tools/bin/uv)
EXTRAS ?= --extra inference --extra training --extra data --extra postgres --extra s3 --extra math
PEERS := --group peers
ARGS ?=
PARALLEL := -n 2

.DEFAULT_GOAL := help
.PHONY: help run up down test test-all test-core bench bench-inference bench-registry architecture docs docs-serve docs-tables pictures lint types format lock-check install install-peers vllm clean

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

run: install ## run the whole experiment on CPU: base against trained on golden-v1, judged and promoted
	@.venv/bin/hallmark experiment $(ARGS)

up: install ## start the Prefect server and the worker; set up deployments, the nightly run and automations; docs/operate.md
	@.venv/bin/hallmark up $(ARGS)

down: install ## stop the worker and the server
	@.venv/bin/hallmark down $(ARGS)

test: install-peers ## run the unit tests, those on the real tiny model, and one short experiment
	.venv/bin/pytest -m "not slow" $(PARALLEL) $(ARGS)
	@echo "Left out: the tests marked slow (kills, full disks, a workstation with its browser, sixteen promoters at"
	@echo "once, two machines with one store, the pages of the documentation). Everything: make test-all"

test-all: install-peers ## run every test
	.venv/bin/pytest $(PARALLEL) $(ARGS)

test-core: $(UV) ## run the unit tests in an environment without torch and jax
	UV_PROJECT_ENVIRONMENT=.venv-core $(UV) sync --locked --quiet --extra postgres --extra s3 --extra math
	.venv-core/bin/pytest -m unit $(PARALLEL) $(ARGS)

bench: install-peers ## measure training against peers; docs/benchmarks.md explains the figures
	.venv/bin/python benchmarks/train.py $(ARGS)

bench-inference: install-peers ## measure inference against lm-evaluation-harness, transformers and vllm
	.venv/bin/python benchmarks/inference.py $(ARGS)

bench-registry: $(UV) ## measure the registry against MLflow's, in its own environment
	UV_PROJECT_ENVIRONMENT=.venv-mlflow $(UV) sync --locked --quiet --extra postgres --group mlflow
	.venv-mlflow/bin/python benchmarks/registry.py $(ARGS)

architecture: install ## draw the imports between the rooms, for docs/architecture.md
	.venv/bin/python docs/architecture.py

docs: docs-tables ## write the generated pages and build the site of the documentation, in site/; broken links fail
	.venv/bin/zensical build --strict --clean

docs-serve: docs-tables ## serve the documentation at http://localhost:8000, built again at each change
	.venv/bin/zensical serve

docs-tables: $(UV)
	@$(UV) sync --locked --inexact --quiet $(EXTRAS) --group docs
	.venv/bin/python docs/reference.py

pictures: install ## take the pictures of the documentation again, from a new experiment; needs chromium
	rm -rf .pictures
	HALLMARK_PICTURES=$(CURDIR)/docs/images .venv/bin/pytest tests/e2e/test_workstation.py -k "form or ui_shows"
	HALLMARK_HOME=.pictures sh -c '.venv/bin/hallmark experiment --json | .venv/bin/python docs/pictures.py'
	rm -rf .pictures

lint: install ## check style, and that no import climbs
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/lint-imports --no-logo --no-cache

types: install-peers ## check types, strictly
	.venv/bin/mypy

format: install ## fix style
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

lock-check: $(UV) ## check that both uv.lock match their pyproject.toml
	$(UV) lock --check
	$(UV) lock --check --project deployments/vllm

install: $(UV) ## install everything into .venv from uv.lock
	@$(UV) sync --locked --inexact --quiet $(EXTRAS)

install-peers: $(UV)
	@$(UV) sync --locked --quiet $(EXTRAS) $(PEERS)

# for GPUs where there is a driver of one; VLLM=cpu or VLLM=gpu decides it
VLLM ?= $(if $(shell command -v nvidia-smi 2>/dev/null),gpu,cpu)

# Python compiles what it imports once: that is two thirds of what a run would wait for.
WARM := from inference.engines.load import import_engine; import_engine()

vllm: $(UV) ## make .venv-vllm, the environment of the engine vllm (6 GB); VLLM=cpu or VLLM=gpu
	@UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venv-vllm $(UV) sync --project deployments/vllm --locked --quiet --extra $(VLLM)
	@-env -u PYTHONDONTWRITEBYTECODE .venv-vllm/bin/python -c "$(WARM)" 2> /dev/null

.tools/bin/uv:
	python3 -m venv .tools
	.tools/bin/pip install --quiet uv==$(UV_VERSION)

clean: ## remove environments and caches; runs and models in .hallmark stay
	rm -rf .venv .venv-core .venv-mlflow .venv-vllm .tools .mypy_cache .ruff_cache .pytest_cache .hypothesis
