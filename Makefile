# Two commands do all the set-up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-slow test-tutorials test-lowest check docs docs-serve tutorials report-matrices default-grader default-gate lock sbom image-steps image-base release-check clean

demo: .venv/installed
	$(BIN)/retinagrade demo --out demo

# One thread per process: if several threads share the cores, they wait for each other most of the time. Files run in
# their own order: xdist would run the longest ones last, because each of them has one test, and leave a core idle.
test: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow"

test-slow: .venv/installed
	$(BIN)/python -m pytest -m slow

# Runs all tutorials, some minutes on two cores.
test-tutorials: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow tests/test_tutorials.py tests/test_first_grader.py

# The tests with exactly the lower bounds of pyproject.toml, in an environment of its own. uv solves for them.
LOWEST := .venv-lowest/bin
test-lowest: .venv-lowest/installed
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -m "not slow" tests/service tests/models tests/grader

.venv-lowest/installed: pyproject.toml
	test -x $(LOWEST)/python || $(PYTHON) -m venv .venv-lowest
	$(LOWEST)/python -m pip install --quiet --disable-pip-version-check uv
	$(LOWEST)/uv pip install --python $(LOWEST)/python --resolution lowest-direct --editable '.[dev]'
	touch $@

# The workflows' images have tags: nobody here can look up the digest of an image.
check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile
	$(BIN)/jactionlint --shellcheck= --ignore 'pinned by a tag'

# The documentation site, in site/. It needs no network, and a broken link is an error.
docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory site 8008

# Writes the page about the report's confusion matrices, docs/report/matrices.md.
report-matrices: .venv/installed
	$(BIN)/python docs/report/page.py

# Runs the tutorials, and writes their outputs into the notebooks: docs/tutorials/run_notebooks.py.
tutorials: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python docs/tutorials/run_notebooks.py

# Makes the bundled grader from IDRiD: `make default-grader SOURCE=IDRID`. The same command continues where it was cut off. See
# docs/default-grader.md. LEFT_OUT: 118 is also in the official test half; the others are copies. The thresholds are chosen on photographs that
# other cameras would have taken, without the dust of IDRiD's camera. `evaluate` exits with 1 if it finds something.
WORK ?= default-grader
LEFT_OUT := 021|028|118|279|327|333|375|391
OTHER_CAMERA := --camera colour --camera light --camera resolution --camera sharpness
default-grader: .venv/installed $(WORK)/chosen.csv
	$(BIN)/retinagrade train $(WORK)/prepared lesions --out $(WORK)/folds --folds 5
	$(BIN)/retinagrade outline $(WORK)/prepared $(WORK)/folds --out $(WORK)/maps/own
	$(BIN)/retinagrade outline $(WORK)/prepared $(WORK)/folds $(OTHER_CAMERA) --out $(WORK)/maps/camera
	$(BIN)/retinagrade fit-grades $(WORK)/maps/own $(WORK)/maps/camera --out $(WORK)/grades
	$(BIN)/retinagrade evaluate $(WORK)/grades/predictions/val.csv || test $$? -eq 1
	$(BIN)/retinagrade evaluate $(WORK)/maps/own --masks-from "$(SOURCE)" --out $(WORK)/outlines || test $$? -eq 1
	$(BIN)/retinagrade calibrate $(WORK)/grades/predictions/val-camera-colour-light-resolution-sharpness-without-marks.csv \
		--out $(WORK)/grades/calibration.json --overwrite
	$(BIN)/retinagrade train $(WORK)/prepared lesions --out $(WORK)/run
	$(BIN)/retinagrade export $(WORK)/run --cross-validation $(WORK)/grades $(if $(wildcard $(WORK)/gate.onnx),--gate $(WORK)/gate.onnx) --statements docs/default-grader.yaml \
		--out src/retinagrade/grader/default.onnx --overwrite

$(WORK)/chosen.csv: .venv/installed
	$(BIN)/retinagrade prepare "$(SOURCE)" --masks --size 1024 --out $(WORK)/prepared
	sed -E '/^train-IDRiD_($(LEFT_OUT)),/d' $(WORK)/prepared/manifest.csv > $@
	cp $@ $(WORK)/prepared/manifest.csv

# Makes the bundled gate: `make default-gate SOURCE=IDRID`. See docs/gate.md. Beside the copies, two photographs are left out that are hard to
# grade themselves. The landmarks and the pictures take about half an hour; the same command continues where it was cut off.
GATE_LEFT_OUT := $(LEFT_OUT)|031|089
default-gate: .venv/installed
	$(BIN)/retinagrade prepare "$(SOURCE)" --size 1024 --out $(WORK)/gate-prepared
	sed -E '/^train-IDRiD_($(GATE_LEFT_OUT)),/d' $(WORK)/gate-prepared/manifest.csv > $(WORK)/gate-manifest.csv
	cp $(WORK)/gate-manifest.csv $(WORK)/gate-prepared/manifest.csv
	test -d $(WORK)/others || $(BIN)/python benchmarks/other_pictures.py $(WORK)/others
	$(BIN)/retinagrade train-gate $(WORK)/gate-prepared --others $(WORK)/others --out $(WORK)/gate
	$(BIN)/retinagrade export $(WORK)/gate --out $(WORK)/gate.onnx --overwrite

# The service's image: the versions of its packages with their hashes, its bill of materials (CycloneDX), and its steps without a daemon.
IMAGE_PYTHON ?= python3.13
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header $(if $(UPGRADE),--upgrade)
lock: .venv/installed
	$(LOCK) pyproject.toml --extra serve --extra dicom --output-file deploy/requirements.txt
	$(LOCK) pyproject.toml --extra node --output-file deploy/requirements-node.txt
	echo 'hatchling>=1.26' | $(LOCK) - --output-file deploy/requirements-build.txt

sbom: .venv-image/installed
	$(BIN)/cyclonedx-py environment .venv-image/bin/python --pyproject pyproject.toml --mc-type application --output-reproducible \
		--output-format JSON --output-file deploy/sbom.cdx.json

.venv-image/installed: deploy/requirements.txt
	rm -rf .venv-image
	$(IMAGE_PYTHON) -m venv --without-pip .venv-image
	$(BIN)/python -m pip --python .venv-image/bin/python install --quiet --require-hashes --requirement deploy/requirements.txt
	touch $@

image-steps: .venv/installed
	$(BIN)/python deploy/image_steps.py $(shell mktemp --directory)/debian

# Needs a daemon or skopeo, and the registry: prints the base image with its digest, for `docker build --build-arg BASE=…`.
image-base:
	@echo "python:3.13-slim-bookworm@$$(skopeo inspect --format '{{.Digest}}' docker://docker.io/library/python:3.13-slim-bookworm)"

# Builds wheel and sdist in dist/, and checks what users get. TAG, such as v0.2.0, also checks the version and the date of the changelog.
release-check: .venv/installed
	$(BIN)/python deploy/release_check.py $(if $(TAG),--tag "$(TAG)")

clean:
	rm -rf .venv .venv-lowest .venv-image demo default-grader dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	touch $@
