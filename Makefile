# Two commands from nothing but Python 3.11+, make and a package registry: `make demo`, `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv

.PHONY: demo test test-core test-studies test-slow attack check format ui docs install lock clean

demo: $(VENV)/.installed
	$(BIN)/factorgrid search quick

# Two processes; a file of tests stays in one of them, which builds its fixtures once.
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

test: $(VENV)/.installed
	$(PYTEST) -m "not slow and not study"

# Whole studies that are interrupted or have other responses, and the service. CI runs them, too.
test-studies: $(VENV)/.installed
	$(PYTEST) -m "study and not slow"

# The packages that know no other system; no test of these starts a process or a server.
test-core: $(VENV)/.installed
	$(PYTEST) -m "not slow and not process" tests/analysis tests/models

test-slow: $(VENV)/.installed
	$(PYTEST)

# Studies that are killed, stopped, cut off, lied to; lines and counts go to $(ATTACK_REPORT).
ATTACK_HOMES ?= 20
ATTACK_REPORT ?= attack-report
attack: $(VENV)/.installed
	$(BIN)/python -m pytest -n 2 --dist load -m attack --attack-homes $(ATTACK_HOMES) \
	    --attack-report $(ATTACK_REPORT) tests/attack

ui: $(VENV)/.installed
	$(BIN)/factorgrid ui

# The documentation site, in build/docs; nothing is fetched. To read it: open build/docs/index.html,
# or for the search: python -m http.server --directory build/docs
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict --config-file infra/mkdocs.yml

install: $(VENV)/.installed

# Bytecode is compiled once, here: it takes seconds off every start (TensorFlow 10 s to 4 s).
$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("FactorGrid needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another with: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.9,<1'
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --compile-bytecode --require-hashes -r requirements.lock
	VIRTUAL_ENV=$(VENV) $(UV) pip install --quiet --no-deps --editable .
	touch $@

check: $(VENV)/.installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Exact versions and hashes, no addresses.
lock: $(VENV)/.installed
	$(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade \
	    --no-emit-index-url --no-annotate --no-header --extra dev --extra jax --extra backbones --extra compare --extra dask --extra ray --extra s3 --extra postgres --extra bench --extra docs pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) .factorgrid
