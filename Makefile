# Two commands matter to a newcomer: `make demo` and `make test`. Everything is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
CHECK ?=
# A caller's PYTHONPATH or user site must not leak into the virtual environment.
export PYTHONNOUSERSITE := 1
# Two test processes share the cores: libraries that would start a thread per core in each only wait for one another.
THREADS := OMP_NUM_THREADS=1

.PHONY: help demo demo-stop test test-full check format bench docs clean
help:
	@echo "make demo        install, start a server, a PACS and a virtual scanner; findings on screen and a URL"
	@echo "make demo CHECK=1  the same headless: verifies worklist and PACS, then exits"
	@echo "make demo-stop   stop the demo"
	@echo "make test        all tests that finish in minutes;  make test-full  with the slow proofs"
	@echo "make check       formatter, linter, strict types, import rules"
	@echo "make bench       speed, as ratios to peers in one run"
	@echo "make docs        generated pages and the executed snippets"

# The base install is what a hospital gets: no torch.
$(VENV)/.base: pyproject.toml requirements/constraints.txt
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@echo "Installing Coread into $(VENV) ..."
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements/constraints.txt -e .
	@touch $@

# torch goes first and alone: a plain request for it may bring gigabytes of CUDA packages.
$(VENV)/.dev: $(VENV)/.base
	@echo "Installing the tools for tests and training ..."
	@$(BIN)/python -c "import torch" 2>/dev/null || $(BIN)/python -m pip install -q --disable-pip-version-check torch==2.13.0
	@$(BIN)/python -m pip install -q --disable-pip-version-check -c requirements/constraints.txt -e ".[dev,train,validate,video,scale]"
	@touch $@

demo: $(VENV)/.base
	@scripts/system-packages.sh $(if $(CHECK),check-demo,demo)
	@$(if $(CHECK),$(MAKE) -s $(VENV)/.dev,true)
	@$(BIN)/coread demo $(if $(CHECK),--check,)

demo-stop:
	@$(BIN)/coread demo --stop

test: $(VENV)/.dev
	@scripts/system-packages.sh test
	$(THREADS) $(BIN)/pytest -q -n 2 --dist loadfile -m "not slow"

test-full: $(VENV)/.dev
	@scripts/system-packages.sh test
	$(THREADS) COREAD_OTHER_EXAMPLES=1 $(BIN)/pytest -q -n 2 --dist loadfile --timeout=1800

check: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --config pyproject.toml

format: $(VENV)/.dev
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.dev
	@scripts/system-packages.sh test
	$(BIN)/python -m bench

docs: $(VENV)/.dev
	$(BIN)/python scripts/build_docs.py

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
