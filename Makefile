# Everything runs in a virtual environment that this file makes; Python 3.11 to 3.13 is all it needs.
#   make quickstart   search a hierarchical JEPA on embedded digits, a few minutes on two cores
#   make test         every check that needs no GPU (the same as make check)
#   make fast         the quick part of it, under 90 seconds
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: quickstart test check fast static gpu format clean

quickstart: $(VENV)/.installed
	$(BIN)/hjepa-search run search_spaces/quickstart.yaml

test: check

check: $(VENV)/.installed-dev static
	$(BIN)/python -m pytest -n 2 --dist loadgroup -m "not gpu"

fast: $(VENV)/.installed-dev static
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not ray and not gpu and not realdata"

static: $(VENV)/.installed-dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

gpu: $(VENV)/.installed-dev
	$(BIN)/python -m pytest -m gpu

format: $(VENV)/.installed-dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache build *.egg-info

$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(None if (3, 11) <= v <= (3, 13) else f"Python {v[0]}.{v[1]} found; 3.11 to 3.13 needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(INSTALL) -e .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(INSTALL) -e ".[dev]"
	@touch $@
