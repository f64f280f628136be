# Two commands do everything: `make demo` shows a whole session, `make test` proves it.
# Both build .venv from the lock files first; the second time that costs nothing.

PYTHON ?= python3
BIN := .venv/bin
# Where this is set, as in many containers, each of the processes that a test starts compiles everything anew.
export PYTHONDONTWRITEBYTECODE :=

NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))

.PHONY: help demo test proof bench docs vendor format dist lock clean

help:
	@echo "make demo          a server, a cart and a shopper go through a whole session; ONCE=1 ends after it, LAN=1 lets phones in"
	@echo "make test          lint, strict types, layers, every test"
	@echo "make proof         what takes longer: more journeys of fielded clients, every field of every call on both stores"
	@echo "make bench         every figure beside its reference of the same run, as a table and as docs/figures.md; ARGS=--quick"
	@echo "make docs          docs/api.md anew, from the server's OpenAPI and AsyncAPI"
	@echo "make vendor        fetch Swagger UI for /docs from npm: VERSION=5.35.0"
	@echo "make dist          the wheel and the sdist, checked, in dist/"
	@echo "make format        put the code into its format"
	@echo "make lock          write the lock files anew from pyproject.toml"
	@echo "make clean         remove .venv and caches"

demo: .venv/run
	@$(BIN)/duckycart demo $(if $(ONCE),--once) $(if $(LAN),--lan)

test: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/pytest $(or $(ARGS),--numprocesses 4)

proof: .venv/dev
	$(BIN)/pytest -m proof $(or $(ARGS),--numprocesses 2)

bench: .venv/dev
	$(BIN)/python -m bench $(or $(ARGS),--write)

docs: .venv/dev
	$(BIN)/python -m tests.documents.reference docs/api.md

vendor: .venv/dev
	$(BIN)/python -m tests.pages.vendor $(VERSION)

format: .venv/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

dist: .venv/dev
	rm -rf dist
	$(BIN)/python -m build --no-isolation
	$(BIN)/check-wheel-contents dist
	$(BIN)/twine check --strict dist/*

.venv/run: requirements.lock pyproject.toml
	@$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "DuckyCart needs Python 3.11 or newer; try make PYTHON=python3.12"; exit 1; }
	@if [ -e .venv ] && ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null; then echo "removing a .venv of another Python"; rm -rf .venv; fi
	@test -x $(BIN)/python || { echo "building .venv (once, about a minute)"; $(PYTHON) -m venv .venv; }
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/run requirements-dev.lock
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.lock
	@touch $@

# The lock files hold everything that the package can use; what a light install takes is in pyproject.toml alone.
# Not the extras of a cart's hardware: one of them needs a compiler, and a demo must not.
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --extra postgres --extra nats pyproject.toml
lock:
	$(PYTHON) -m venv .venv-lock && .venv-lock/bin/pip install --quiet uv
	. .venv-lock/bin/activate && $(LOCK) --group build --output-file requirements.lock
	. .venv-lock/bin/activate && $(LOCK) --group build --group dev --constraint requirements.lock --output-file requirements-dev.lock
	rm -rf .venv-lock

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis
