# Everything a checkout needs, from nothing but Python and make. `make` lists the targets.
#
#   make run                              the web UI, with the CPU build of torch
#   make run TORCH=torch==2.13.0          whatever build the package index gives (on Linux: CUDA, several GB)
#   make run TORCH_INDEX=<address>        take torch from that package index (an accelerator's own, or a mirror)
#   make run PYTHON=python3.12            another interpreter; a torch it already has is used, never replaced
#   make run VENV="$VIRTUAL_ENV"          install into an environment of yours, keeping its torch
#
# pip's own configuration (index, mirror, certificates, cache) is left alone and applies to every step.

PYTHON ?= python3
VENV ?= .venv
TORCH ?=
TORCH_INDEX ?=
ARGS ?=
# Two test processes with one arithmetic thread each: more of either only makes them wait for each other on two cores.
JOBS ?= 2

TORCH_VERSION := 2.13.0
PY := $(VENV)/bin/python
PIP := $(PY) -m pip install $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))
PINS := --constraint requirements.lock --constraint $(VENV)/torch.txt
# Exits with 0 where torch can be had from the interpreter that runs it and is new enough (see pyproject.toml).
HAS_TORCH := -c "from importlib.metadata import version as v; import sys; \
	sys.exit(tuple(int(n) for n in v('torch').split('.')[:2]) < (2, 8))" 2>/dev/null

export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PIP_NO_INPUT := 1

.DELETE_ON_ERROR:
.PHONY: help run demo test slow lint format wheel lock install dev clean FORCE

help: ## List the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | while IFS="$$(printf '\t')" read -r name text; do \
		printf '  make %-8s %s\n' "$$name" "$$text"; done

run: install ## Install what is missing and start the web UI on 127.0.0.1
	$(VENV)/bin/workbench ui $(ARGS)

demo: install ## Adapt to the demo condition, read its held-out cases, write the report
	$(VENV)/bin/workbench demo $(ARGS)

test: lint ## Lint, types, import contracts and tests
	OMP_NUM_THREADS=1 $(PY) -m pytest -n $(JOBS) --dist loadfile $(ARGS)

slow: dev ## The longer proofs (minutes)
	$(PY) -m pytest -m slow $(ARGS)

lint: dev ## Lint, formatting, types and import contracts
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m mypy workbench ui
	$(PY) -c "from importlinter.cli import lint_imports_command; lint_imports_command()" --no-logo

format: dev ## Put the code into its standard form
	$(PY) -m ruff check --fix .
	$(PY) -m ruff format .

wheel: install ## Build dist/fewshot_workbench-*.whl
	$(PY) -m pip wheel --no-deps --wheel-dir dist .

install: $(VENV)/.run ## Create the environment and install the package

dev: $(VENV)/.dev ## The same, with what the tests need

clean: ## Remove the environment, builds and caches (never data)
	rm -rf .venv build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The pins come from a fresh environment of its own. torch is not among them: its build is the user's choice.
lock: ## Renew requirements.lock from the ranges in pyproject.toml
	rm -rf build/lock && $(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install torch==$(TORCH_VERSION)+cpu || build/lock/bin/python -m pip install torch==$(TORCH_VERSION)
	build/lock/bin/python -m pip install '.[dev,notebooks]'
	sed '/^[^#]/,$$d' requirements.lock > build/lock/requirements.lock
	build/lock/bin/python -m pip freeze --exclude fewshot-workbench --exclude torch \
		| grep -viE '^(nvidia|triton|cuda)| @ ' >> build/lock/requirements.lock
	mv build/lock/requirements.lock requirements.lock

# The environment. Where $(PYTHON) itself has a torch and none is asked for, the environment sees that one.
$(VENV)/bin/pip:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Python 3.11 or newer is needed; '$(PYTHON)' gives: $$($(PYTHON) --version 2>&1 || true)." >&2; \
		echo "Install a newer one, or name it: make $(firstword $(MAKECMDGOALS)) PYTHON=python3.12" >&2; exit 1; }
	@site=; if [ -z "$(TORCH)" ] && $(PYTHON) $(HAS_TORCH); then site=--system-site-packages; fi; \
	set -x; $(PYTHON) -m venv $$site $(VENV)

# What was asked for by name; rewritten only when it changes, so that torch is looked at again only then.
$(VENV)/.asked: FORCE | $(VENV)/bin/pip
	@asked='torch: $(TORCH) $(TORCH_INDEX)'; [ "$$(cat $@ 2>/dev/null)" = "$$asked" ] || echo "$$asked" > $@

# torch comes first and alone, so that no other package's requirement can choose its build, and is then held by
# torch.txt. Order: the one asked for; the one already there; the CPU build from pip's configured index; on Linux the
# CPU build from PyTorch's own index, whose address uv knows; whatever the index has.
$(VENV)/torch.txt: $(VENV)/.asked | $(VENV)/bin/pip
	@set -e; if [ -n "$(TORCH)" ]; then \
		set -x; $(PIP) "$(TORCH)"; \
	elif $(PY) $(HAS_TORCH); then \
		echo "Keeping the torch that is there."; \
	elif echo "Installing the CPU build of torch $(TORCH_VERSION) (about 200 MB)." && \
		$(PIP) "torch==$(TORCH_VERSION)+cpu" 2>/dev/null; then :; \
	elif [ "$$(uname -s)" = Linux ] && $(PIP) --quiet --target $(VENV)/uv uv && \
		$(VENV)/uv/bin/uv pip install --python $(PY) --torch-backend cpu "torch==$(TORCH_VERSION)"; then :; \
	else \
		echo "No build of torch $(TORCH_VERSION) marked as CPU is offered; taking the index's own." >&2; \
		echo "On Linux that is several GB for CUDA; TORCH_INDEX=<address> names another index." >&2; \
		$(PIP) "torch==$(TORCH_VERSION)"; \
	fi
	@$(PY) -c "from importlib.metadata import version; print('torch==' + version('torch'))" > $@
	@cat $@

$(VENV)/.run: pyproject.toml requirements.lock $(VENV)/torch.txt
	$(PIP) $(PINS) --editable .
	@touch $@

$(VENV)/.dev: pyproject.toml requirements.lock $(VENV)/torch.txt
	$(PIP) $(PINS) --editable '.[dev]'
	@touch $(VENV)/.run $@
