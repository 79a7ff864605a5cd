# make play    set up, then play the acceptance scenario on the simulators (needs no key)
# make test    set up, then run every test
# make simulate  whole runs under seeded faults in virtual time, every invariant looked at (SEEDS=2000)
# make bench   measure against the floor and the peers; writes docs/PERFORMANCE.md (about two minutes)
# make setup   make .venv with the `runner` command in it, and nothing else
# make check   what CI checks beside the tests: format, lint, types, import arrows, drawn documents
# make lock    pin the newest versions again (names, versions, hashes)
# make venue   begin the room of one more exchange: make venue NAME=kite
# make clean   remove what the others made

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/pip --disable-pip-version-check --quiet
SCENARIO ?= scenarios/e2e_all.yaml
SPEED ?= 4
SEEDS ?= 2000
PYTEST_ARGS ?= -n 2 --dist loadfile
NAME ?=

.PHONY: play test simulate bench setup check lock venue clean

play: setup
	$(BIN)/runner play $(SCENARIO) --speed $(SPEED)

test: .venv/.tested
	$(BIN)/python -m pytest $(PYTEST_ARGS)

simulate: .venv/.tested
	$(BIN)/python tests/simulate/simulate.py --seeds $(SEEDS)

bench: .venv/.tested
	$(BIN)/python -m bench.page

setup: .venv/.ready

.venv/.ready: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Roundtrip needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(PIP) install --no-deps --require-hashes -r requirements.lock
	$(PIP) install --no-deps --config-settings editable_mode=compat -e .
	@rm -rf roundtrip.egg-info
	@touch $@

.venv/.tested: .venv/.ready requirements-test.lock
	$(PIP) install --no-deps --require-hashes -r requirements-test.lock
	@touch $@

check: .venv/.tested
	$(BIN)/black --check --quiet .
	$(BIN)/ruff check --quiet .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python scripts/draw_moves.py --check
	$(BIN)/python scripts/write_docs.py --check
	$(BIN)/python scripts/draw_markets.py --check

# The exchanges' own clients (extra sdk) pin older siblings of some libraries: requirements-overrides.txt holds ours.
PIN := $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links --upgrade pyproject.toml
lock: .venv/.tested
	$(PIP) install uv
	$(PIN) -o requirements.lock
	$(PIN) --extra test --extra sdk --extra bench -c requirements.lock --override requirements-overrides.txt -o requirements-test.lock

venue: .venv/.tested
	$(BIN)/python scripts/make_venue.py '$(NAME)'
	$(BIN)/python scripts/write_docs.py

clean:
	rm -rf .venv *.egg-info .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis .coverage
