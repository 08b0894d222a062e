# Everything a person or CI does with a clone. `make` lists it; each target does the set-up that it needs, and a second
# run finds it done. Needs python3 >= 3.11, git and ca-certificates; nothing else (no pip, no node, no compiler).

PYTHON ?= python3
PYTEST_ARGS ?=
ARGS ?=

SHELL := /bin/sh
MAKEFLAGS += --no-builtin-rules --no-print-directory
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

# uv never downloads a Python, and trusts what the machine trusts. Debian keeps mosquitto in /usr/sbin.
export UV_PYTHON_DOWNLOADS := never
export UV_SYSTEM_CERTS := true
export PATH := $(PATH):/usr/local/sbin:/usr/sbin
unexport VIRTUAL_ENV
# Without its compiled files every process of ours would begin with compiling.
unexport PYTHONDONTWRITEBYTECODE

UV_VERSION := $(shell sed -n 's/^VERSION = "\(.*\)"/\1/p' scripts/bootstrap.py)
UV := .tools/uv-$(UV_VERSION)/uv
BIN := .venv/bin

# What stands for "this is done": each lives inside what it speaks of, so that it goes when that goes.
VENV_DONE := .venv/.synced
NODE_DONE := node_modules/.installed
WEB_DONE := src/evmesh/app/static/.built

WEB_SOURCES := $(shell find web -type f -not -path '*/node_modules/*' -not -path '*/test-results/*' 2>/dev/null)

.PHONY: help
help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | awk -F'|' '{ printf "%-14s %s\n", $$1, $$2 }'

.PHONY: setup
setup: $(VENV_DONE) $(NODE_DONE) $(WEB_DONE) ## fetch tools and libraries as locked, build the web pages
	@:

$(UV): scripts/bootstrap.py
	$(PYTHON) scripts/bootstrap.py
	@touch $@

$(VENV_DONE): uv.lock pyproject.toml $(UV)
	@test -x $(BIN)/python || $(UV) venv --quiet --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')"
	$(UV) sync --frozen --compile-bytecode
	$(BIN)/python -c "from evmesh.planning import optimiser, tree; optimiser.prepare(); tree.prepare()"
	@touch $@

$(NODE_DONE): package-lock.json .npmrc $(VENV_DONE)
	scripts/with-node.sh npm ci
	@touch $@

$(WEB_DONE): $(WEB_SOURCES) package-lock.json $(NODE_DONE)
	scripts/with-node.sh npm run build --workspace web --if-present
	@mkdir -p $(@D) && touch $@

.PHONY: web
web: $(WEB_DONE) ## build the web pages into src/evmesh/app/static
	@:

.PHONY: run
run: setup ## start the whole platform with simulated hardware (options: ARGS="--port 8081")
	$(BIN)/evmesh up $(ARGS)

.PHONY: packages
packages:
	scripts/debian-packages.sh

.PHONY: test
test: setup packages ## run the tests (some of them: PYTEST_ARGS="tests/unit -k tariff")
	$(if $(PYTEST_ARGS),,scripts/with-node.sh npm run test --workspace web --if-present)
	$(BIN)/python scripts/run_tests.py $(PYTEST_ARGS)

.PHONY: soak
soak: setup packages ## run the long tests
	HYPOTHESIS_PROFILE=soak $(BIN)/python -m pytest -m soak --timeout 3600 $(PYTEST_ARGS)

.PHONY: check check-format check-lint check-types check-imports check-web
check: check-format check-lint check-types check-imports check-web ## check format, lint, types and imports (-k: all of it, though one fails)

check-format: $(VENV_DONE)
	$(BIN)/ruff format --check
check-lint: $(VENV_DONE)
	$(BIN)/ruff check
check-types: $(VENV_DONE)
	$(BIN)/mypy
check-imports: $(VENV_DONE)
	$(BIN)/lint-imports --no-logo
check-web: $(NODE_DONE)
	scripts/with-node.sh npm run check --workspace web --if-present

.PHONY: format
format: $(VENV_DONE) ## format the Python code and fix what ruff can fix
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

.PHONY: bench
bench: setup ## run the benchmarks beside their baselines (some of them: ARGS="documents")
	$(UV) sync --frozen --quiet --inexact --group bench
	$(BIN)/python -m bench.run $(ARGS)

.PHONY: fresh
fresh: ## set up and test a fresh clone in a bare Debian (debootstrap; needs root)
	scripts/fresh-clone.sh $(ARGS)

.PHONY: clean
clean: ## remove all that was fetched or built, data of `make run` excepted
	rm -rf .venv .tools node_modules web/node_modules embedded/node_modules src/evmesh/app/static dist artefacts
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find src tests bench scripts -name __pycache__ -type d -prune -exec rm -rf {} +
