# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-lowest check report-matrices default-grader clean

demo: .venv/installed
	$(BIN)/retinagrade demo --out demo

# One thread per process: if several threads share the cores, they wait for each other most of the time.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

# The tests with exactly the lower bounds of pyproject.toml, in an environment of its own. uv solves for them.
LOWEST := .venv-lowest/bin
test-lowest: .venv-lowest/installed
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -m "not slow" tests/service tests/models tests/grader

.venv-lowest/installed: pyproject.toml
	test -x $(LOWEST)/python || $(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/uv pip install --python $(LOWEST)/python --resolution lowest-direct --editable '.[dev]'
	touch $@

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

# Writes the page about the report's confusion matrices, docs/report/matrices.md.
report-matrices: .venv/installed
	$(BIN)/python docs/report/page.py

# Makes the bundled grader from IDRiD: `make default-grader SOURCE=IDRID`. The same command continues where it was cut off. See
# docs/default-grader.md. Photograph 118 is also in the official test half; 013 and 397 show one eye. `data check` and
# `evaluate` exit with 1 if they find something.
WORK ?= default-grader
default-grader: .venv/installed
	$(BIN)/retinagrade data check "$(SOURCE)" --fix --out $(WORK)/check || test $$? -eq 1
	sed -E -e '/^train-IDRiD_118,/d' -e 's/^(train-IDRiD_(013|397),[^,]*,[^,]*),,/\1,one-eye,/' \
		$(WORK)/check/manifest.csv > $(WORK)/check/chosen.csv
	$(BIN)/retinagrade prepare $(WORK)/check/chosen.csv --out $(WORK)/prepared --size 448
	$(BIN)/retinagrade train $(WORK)/prepared default-grader --out $(WORK)/folds --folds 5
	$(BIN)/retinagrade evaluate $(WORK)/folds/predictions/val.csv --grades $(WORK)/prepared/manifest.csv \
		--out $(WORK)/evaluation || test $$? -eq 1
	$(BIN)/retinagrade calibrate $(WORK)/folds
	$(BIN)/retinagrade train $(WORK)/prepared default-grader --out $(WORK)/run
	$(BIN)/retinagrade export $(WORK)/run --cross-validation $(WORK)/folds --statements docs/default-grader.yaml --precision float16 \
		--out src/retinagrade/grader/default.onnx --overwrite

clean:
	rm -rf .venv .venv-lowest demo default-grader dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
