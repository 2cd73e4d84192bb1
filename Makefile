# make install     an environment in .venv with everything (GPU=1 for the CUDA builds, PYTHON=python3.12 to choose)
# make quickstart  install, then data, train, eval, export and predict on MovieLens-100K
# make test        the whole suite, JOBS=2 files at a time
# make soak        feature tests with 2,000 generated batches each (half an hour), 50 killed trainings (half an hour), 20 stopped
# make lint        ruff, mypy and the import floors
# make bench       every speed that the documents state, as a table (half an hour)
# make bench-check the same speeds as ratios, compared with the stored ones (a quarter of an hour)
# make clean       remove what the above have made, except .venv and data

PYTHON ?= python3
GPU ?=
TESTS ?= tests
JOBS ?= 2
BIN := .venv/bin
STAMP := .venv/.installed$(if $(GPU),-gpu,-cpu)

.DEFAULT_GOAL := help
.PHONY: help install quickstart test soak lint bench bench-check clean

help:
	@sed -n 's/^# make/make/p' Makefile

install: $(STAMP)

$(STAMP): setup.cfg setup.py pyproject.toml packaging/fbgemm-gpu-cpu/pyproject.toml scripts/install.sh
	PYTHON="$(PYTHON)" GPU="$(GPU)" bash scripts/install.sh
	@touch $@

quickstart: install
	bash scripts/quickstart.sh

test: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

soak: install
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rs -n $(JOBS) --dist load --soak 2000 tests/runtime/config tests/runtime/features tests/runtime/training/test_ranks.py tests/runtime/training/test_signals.py

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: install
	$(BIN)/python benchmarks/suite.py --json benchmark.json
	$(BIN)/python -m pip install --quiet pandas polars
	$(BIN)/python benchmarks/features.py

bench-check: install
	$(BIN)/python benchmarks/suite.py --check --rows 300000

clean:
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .venv-nightly runs
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +
