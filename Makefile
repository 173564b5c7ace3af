# Every target sets up what it needs first (scripts/setup.sh) and says what it does; a second run is quick.
# ARGS is passed on: make test ARGS="-k synthesize", make bench ARGS="--runs 3".

SHELL := /bin/bash
.DEFAULT_GOAL := help
export PATH := $(PATH):/usr/sbin:/sbin

BIN := .venv/bin
ARGS ?=
# Loading programs into the kernel and starting the test containers takes root.
AS_ROOT := $(if $(filter-out 0,$(shell id -u)),sudo env PYTHONDONTWRITEBYTECODE=1 CI="$(CI)" PATH="$(PATH)")
SCRIPTS := $(wildcard scripts/*.sh tests/workloads/*.sh action/*.sh examples/*/*.sh deploy/*/*.sh) .ci/run

.PHONY: help
help:  ## List the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
		|| sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)

.PHONY: setup
setup:  ## Install what is missing: Debian packages, .venv, the compiled recorder
	@scripts/setup.sh </dev/null

.PHONY: demo
demo: setup  ## Record a real container, enforce its profile, see the rest denied (as root)
	@$(AS_ROOT) $(BIN)/python scripts/demo.py

.PHONY: test
test: setup  ## Run the whole test suite (as root: real system calls, real containers)
	$(AS_ROOT) $(BIN)/python -m pytest -p no:cacheprovider --durations=10 $(ARGS)

.PHONY: lint
lint: setup  ## Check style, types, layers, generated tables, scripts and workflows
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python scripts/generate_tables.py --check
	shellcheck --external-sources --exclude SC1091 $(SCRIPTS)
	$(BIN)/python scripts/lint_workflows.py

.PHONY: format
format: setup  ## Rewrite the Python files in the project's style
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: bench
bench: setup  ## Measure the recorder's overhead and the hook's latency (as root)
	$(AS_ROOT) $(BIN)/python bench/run.py $(ARGS)

.PHONY: programs
programs: setup  ## Record real programs, run them under their profiles, print the table of docs/programs.md (as root)
	@$(AS_ROOT) $(BIN)/python scripts/programs_table.py $(ARGS)

.PHONY: engines
engines: setup  ## Record and enforce `ls /` on every engine, print the table of docs/engines.md (as root)
	@$(AS_ROOT) $(BIN)/python scripts/engines_table.py $(ARGS)

.PHONY: scan-table
scan-table: setup  ## Record and scan real programs, print the table of docs/scan.md (as root)
	@$(AS_ROOT) $(BIN)/python scripts/scan_table.py $(ARGS)

.PHONY: calibrate
calibrate: setup  ## Compare predicted with actual risk on real suites, print the table of docs/completeness.md (as root)
	@$(AS_ROOT) $(BIN)/python scripts/calibrate.py $(ARGS)

.PHONY: aarch64
aarch64: setup  ## Run the recorder on an emulated 64-bit ARM machine (needs qemu-system-arm; minutes)
	@$(BIN)/python scripts/aarch64.py $(ARGS)

.PHONY: tables
tables: setup  ## Generate src/seclude/_tables.py from the pinned system-calls package
	$(BIN)/python scripts/generate_tables.py

.PHONY: clean
clean:  ## Remove what was built here: .venv, the recorder, caches (test images stay in ~/.cache/seclude)
	rm -rf .venv build dist src/seclude/data/*.o .mypy_cache .ruff_cache .pytest_cache .hypothesis
	rm -rf .import_linter_cache
	find . -path ./.git -prune -o -name __pycache__ -type d -print0 | xargs -0r rm -rf
