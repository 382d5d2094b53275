# Babelscene: the verbs people type. `make help` lists them.
SHELL    := /bin/bash
PYTHON   ?= python3
PROFILE  ?= demo
ARGS     ?=
VENV     := .venv
BIN      := $(VENV)/bin
STAMP    := $(VENV)/.installed
UV       := $(BIN)/uv
RUN      := $(BIN)/babelscene
export OMP_NUM_THREADS ?= 1
export OMP_WAIT_POLICY ?= passive
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help setup lock shards features pretrain evaluate report status test lint bench torture clean

help:  ## this list
	@echo "usage: make VERB [PROFILE=demo|photos] [ARGS='key=value ...']"
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

# A stamp holds the digest of the lock: set-up runs once, and again only when the lock changes.
setup:  ## make .venv and install the locked packages (done by every other verb when needed)
	@digest=$$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1); \
	if [ "$$(cat $(STAMP) 2>/dev/null)" != "$$digest" ]; then \
	  set -e; rm -f $(STAMP); \
	  [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); \
	  [ -x $(UV) ] || $(BIN)/python -m pip install --quiet uv==0.13.8; \
	  $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; \
	  $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --config-settings editable_mode=compat --editable .; \
	  echo "$$digest" > $(STAMP); \
	fi
