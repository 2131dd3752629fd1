# Two commands need nothing but Python 3.10+ and make:
#     make demo    a language model answers with an object of a schema
#     make test    the whole suite
# Both set up .venv first, once; a changed pyproject.toml sets it up again.

PYTHON ?= python3
VENV ?= .venv
# Installed first and by itself: as a mere requirement, torch may draw several GB of CUDA packages.
# Elsewhere: make demo TORCH="torch --index-url https://download.pytorch.org/whl/cpu"
TORCH ?= torch==2.13.0
PYTEST_ARGS ?= -n 2 --dist loadfile

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two OpenMP threads on two busy cores are slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint format model bench clean help

help:
	@echo "make demo | test | lint | format | model | bench | clean"

demo: $(VENV)/.hf model
	@$(BIN)/grammar-engine demo

test: $(VENV)/.test model
	$(BIN)/pytest $(PYTEST_ARGS)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/python tests/support/typecheck.py

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Kernels compiled and the embedded model in the user's cache folder; both checks take a second once they are there.
model: $(VENV)/.hf
	@$(BIN)/grammar-engine warmup --fetch-model

bench: $(VENV)/.hf model
	$(BIN)/python benchmarks/end_to_end.py

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .typecheck

$(VENV)/.torch: Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10) and "Python 3.10 or newer is needed: make PYTHON=python3.12 …")'
	@echo "setting up $(VENV) (once, a few minutes)"
	$(PYTHON) -m venv $(VENV)
	$(PIP) install -q -U pip
	$(PIP) install -q $(TORCH)
	@touch $@

$(VENV)/.hf: $(VENV)/.torch pyproject.toml
	$(PIP) install -q -e ".[hf]"
	@touch $@

$(VENV)/.test: $(VENV)/.hf
	$(PIP) install -q -e ".[test]"
	@touch $@
