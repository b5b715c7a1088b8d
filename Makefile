# Two commands: `make demo` draws pictures of a bundled subject, `make test` runs every check and test;
# `make docs` builds the site of the documentation, which the tests do too.
# Both set up a virtual environment in .venv first; a second run starts at once.

PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test coverage check docs matrix matrix-oldest matrix-known matrix-newest clean

demo: .venv/installed
	@$(BIN)/blipdiff generate --subject blipdiff/assets/subjects/padlock.png --category padlock \
		--prompt "on a grass field" --count 4 --seed 7 --output outputs/demo
	@echo
	@echo "The pictures are in outputs/demo. Now with your own photo:"
	@echo "  $(BIN)/blipdiff generate --subject my_photo.png --category dog --prompt \"in the snow\""
	@echo "or open the page:"
	@echo "  $(BIN)/blipdiff ui"

test: check
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# which lines the tests run; counting them takes half as long again
coverage: check
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile --cov=blipdiff --cov-report=term --cov-report=xml

# The tests that meet the libraries, with their oldest, known and newest versions: docs/versions.md.
matrix: matrix-oldest matrix-known matrix-newest

matrix-oldest matrix-known matrix-newest:
	@$(PYTHON) tests/libraries/matrix.py $(subst matrix-,,$@)

check: .venv/installed-dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

docs: .venv/installed-dev
	@NO_MKDOCS_2_WARNING=1 OMP_NUM_THREADS=1 $(BIN)/mkdocs build --strict --quiet
	@echo "The site is build/docs/index.html."

.venv/python: 
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "blipdiff needs Python 3.11 or newer; name one with: make PYTHON=python3.12 demo"; exit 1; }
	@echo "Setting up a virtual environment in .venv; the libraries are about 1 GB."
	@$(PYTHON) -m venv .venv
	@touch $@

.venv/installed: .venv/python pyproject.toml constraints.txt
	@$(PIP) --editable .
	@touch $@

.venv/installed-dev: .venv/python pyproject.toml constraints.txt
	@$(PIP) --editable ".[dev]"
	@touch $@ .venv/installed

clean:
	rm -rf .venv .matrix build dist *.egg-info
