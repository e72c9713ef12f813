# The commands of this repository. `make` alone lists them.
PYTHON ?= python3
BIN := .venv/bin

.DEFAULT_GOAL := help
.PHONY: help run test check soak fuzz bench chaos lock lock-references clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1	\2/p' $(MAKEFILE_LIST)

run: .venv/installed ## run a pipeline on simulated frames, with a broker of its own
	@$(BIN)/interactem pipeline run pipelines/center-of-mass.json

test: .venv/tested ## run all tests
	$(BIN)/pytest --numprocesses=auto --maxprocesses=4 --dist=loadscope

check: .venv/tested ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/tested ## measure, each figure beside its reference
	$(BIN)/python benchmarks/run.py

soak: .venv/tested ## an hour's run at a steady rate: does anything grow?
	$(BIN)/python benchmarks/soak.py

fuzz: .venv-fuzz/installed ## ten minutes of fuzzing of all that reads outside data
	.venv-fuzz/bin/python tests/fuzz/run.py

chaos: .venv/tested ## disturb pipelines of every shape, and check that nothing is lost; CHAOS=--help
	@$(BIN)/python tests/chaos $(CHAOS)

lock: .venv/installed ## bring the lock of the runtime's dependencies up to date
	@$(BIN)/python -c 'from interactem.engine.wheels import runtime_requirements as r; print("\n".join(r()))' \
	 | $(BIN)/uv pip compile - --quiet --universal --fork-strategy fewest --python-version 3.11 --upgrade \
	   --generate-hashes --no-annotate --no-emit-index-url --custom-compile-command "make lock" \
	   --output-file engine/interactem/engine/locked.txt

lock-references: .venv/installed ## bring the lock of the benchmarks' references up to date
	@$(BIN)/uv pip compile benchmarks/references/requirements.in --quiet --universal --fork-strategy fewest \
	   --python-version 3.11 --upgrade --generate-hashes --no-annotate --no-emit-index-url \
	   --custom-compile-command "make lock-references" --output-file benchmarks/references/locked.txt

clean: ## remove the environment and what tools left
	rm -rf .venv .venv-fuzz .fuzz .venv-references .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist

.venv/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "interactem needs Python 3.11 or later; name one: make run PYTHON=python3.12"; exit 1; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; echo "on Debian: sudo apt-get install python3-venv"; exit 1; }
	@touch $@

.venv/installed: .venv/python pyproject.toml
	@echo "installing interactem into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv-fuzz/installed: .venv/python
	@$(PYTHON) -m venv .venv-fuzz
	@.venv-fuzz/bin/python -m pip install --quiet --disable-pip-version-check --editable . 'atheris>=3,<4'
	@touch $@

.venv/tested: .venv/installed
	@echo "installing what the tests need into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@
