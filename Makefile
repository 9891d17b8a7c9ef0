# `make demo` and `make test` need Python >= 3.11 and make, and nothing else: the environment is made here.
# `make test-gpu-dry` needs g++ besides.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test lint types pytest pytest-double test-gpu-dry bench pictures docs clean

# One thread: two are a quarter faster, but many times slower while the machine does other work.
demo: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m models train --text python-docs --out runs/demo --overwrite

test: lint types pytest pytest-double

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/ready
	$(BIN)/mypy

pytest: .venv/ready
	$(BIN)/pytest -n auto --dist worksteal

# The same tests with a strict stand-in for CuPy as the device: tests/gpu/double.
pytest-double: .venv/ready
	$(BIN)/pytest -n auto --dist worksteal --device double tests/ops tests/autograd tests/arrays tests/tensor tests/testing tests/nn tests/optim tests/replay tests/training tests/models tests/examples tests/gpu

# CuPy itself without a GPU, its kernels compiled by g++ and run on the processor: tests/gpu/dry.
test-gpu-dry: .venv-gpu/ready
	.venv-gpu/bin/pytest tests/gpu/test_names.py
	.venv-gpu/bin/pytest tests/gpu/dry --device host
	.venv-gpu/bin/pytest tests/replay/test_captured_ops.py tests/replay/test_captured_layouts.py --device host -k "not float64"

bench: .venv/ready
	$(BIN)/python benchmarks/overhead.py
	$(BIN)/python benchmarks/compare.py --json runs/bench/speed.json
	$(BIN)/python benchmarks/growth.py --json runs/bench/growth.json
	$(BIN)/python benchmarks/plot.py runs/bench/speed.json runs/bench/speed.png
	$(BIN)/python benchmarks/plot.py runs/bench/growth.json runs/bench/growth.png

# The pictures of docs/gallery.md, by the commands that it shows.
pictures: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/python docs/pictures.py

# The site, in docs/_build, in English and Korean: each cell is run, and a warning is an error.
docs: .venv/ready
	OPENBLAS_NUM_THREADS=1 $(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	OPENBLAS_NUM_THREADS=1 $(BIN)/sphinx-build -q -W --keep-going -b html -D language=ko docs docs/_build/html/ko

.venv/ready: pyproject.toml
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'minigrad needs Python 3.11 or newer; try make PYTHON=python3.12')"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"  # knows groups
	$(BIN)/python -m pip install --quiet --no-compile --editable ".[bpe,models,tensorboard,testing,translate]" --group dev
	touch $@

.venv-gpu/ready: pyproject.toml
	$(PYTHON) -m venv .venv-gpu
	.venv-gpu/bin/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	.venv-gpu/bin/python -m pip install --quiet --editable ".[testing,viz]" --group gpu-dry
	touch $@

clean:
	rm -rf .venv .venv-gpu runs docs/_build
