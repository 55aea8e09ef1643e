# demo | test | check | docs : the same targets CI calls. The virtual environment is .venv; it is made when absent.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test check lint bench claims docs clean

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[test,lint,docs]'
	touch $(READY)

demo: $(READY)
	$(BIN)/windvane demo

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 -m "not slow and not gpu"

check: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2

claims: $(READY)
	for name in sppo longpo longpo_weight janus rubric_sppo evalyaks; do $(BIN)/python -m studies.$$name || exit 1; done

docs: $(READY)
	$(BIN)/sphinx-build -q -W -b html docs site

bench: $(READY)
	$(BIN)/python benchmarks/generate.py --json
	$(BIN)/python benchmarks/trees.py --json --quick

clean:
	rm -rf .venv runs .mypy_cache .ruff_cache build dist
