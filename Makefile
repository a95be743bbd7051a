.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help:  ## this list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 10

setup: .venv/.complete  ## everything the project needs, in .venv

.venv/.complete: pyproject.toml constraints.txt common/requirements.txt tests/requirements.txt $(wildcard services/*/requirements.txt) simulator/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it as: make PYTHON=python3.12"; exit 1; }
	@command -v gpg >/dev/null || { echo "gpg is needed: apt-get install gnupg"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "The venv module is needed: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: setup  ## brings 20 books home from a simulated GRIN, three of them bad on purpose
	$(BIN)/grin-pipeline demo

test: setup  ## all tests; those that need a container engine are skipped where there is none
	$(BIN)/pytest

lint: setup  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: setup  ## put the code into its shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## CPU and wall time against the bare shell, on the same books
	$(BIN)/python -m tests.bench.pipeline

clean:  ## removes what make made; books in demo/ too, nothing else
	rm -rf .venv build dist *.egg-info demo bench/run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup demo test lint fmt bench clean
