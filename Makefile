# `make demo` and `make test` need Python >= 3.11 and make, and nothing else: the environment is made here.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint types pytest bench clean

# One thread: two are a quarter faster, but many times slower while the machine does other work.
demo: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m models train --text python-docs --out runs/demo --overwrite

test: lint types pytest

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

pytest: .venv/ready
	$(BIN)/pytest -n auto --dist worksteal

bench: .venv/ready
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/compare.py --json runs/bench/speed.json
	$(BIN)/python benchmarks/growth.py --json runs/bench/growth.json
	$(BIN)/python benchmarks/plot.py runs/bench/speed.json runs/bench/speed.png
	$(BIN)/python benchmarks/plot.py runs/bench/growth.json runs/bench/growth.png

.venv/ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'minigrad needs Python 3.11 or newer; try make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[dev]"
	touch $@

clean:
	rm -rf .venv runs
