# Two commands do everything on a machine that has Python 3.11+, pip and make:
#
#     make demo    run the example pipeline and say where its results are
#     make test    run the whole test suite
#
# Each makes the virtual environment .venv first, if it is not there.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed

.PHONY: demo test coverage browser check format bench chaos corpus clean

demo: $(STAMP)
	$(BIN)/nbflow run notebooks/pipeline/flow.yaml -o out
	@$(BIN)/nbflow graph notebooks/pipeline/flow.yaml --format svg -o out/graph.svg
	@echo
	@echo "The executed notebooks:    out/*.ipynb, out/models/*.ipynb (begin with out/report.ipynb)"
	@echo "The picture of the graph:  out/graph.svg"
	@echo "The same from Jupyter:     $(BIN)/jupyter lab notebooks/tutorial.ipynb"

# Several processes share the tests, file by file; ARGS="-n 0" has them in one, as a debugger needs.
test: $(STAMP) browser
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder $(ARGS)

# The panel is tested in a real browser: the system's, or else one that Playwright fetches.
browser: $(STAMP)
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null \
		|| $(BIN)/playwright install chromium

# Which lines and branches the tests reach. Takes several times as long.
coverage: $(STAMP) browser
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder \
		--cov=nbflow --cov-report=term:skip-covered $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(STAMP)
	$(BIN)/python -m pip install --quiet --group bench
	$(BIN)/python -m benchmarks $(ARGS)

# Kills processes of runs and says what was lost; ARGS="--kills 100 --seed 7".
chaos: $(STAMP)
	$(BIN)/python -m chaos $(ARGS)

# Runs notebooks in order and by cells, and compares; DIR=FOLDER, or else those inside installed
# packages. ARGS="--seeds 3 --timeout 300 --json corpus.json".
corpus: $(STAMP)
	$(BIN)/python -m corpus $(DIR) $(ARGS)

clean:
	rm -rf $(VENV) .nbflow out notebooks/.nbflow notebooks/*/.nbflow

# Installed anew whenever the dependencies may have changed.
$(STAMP): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable ".[examples,metrics,otel]" --group test --group check
	@touch $@
