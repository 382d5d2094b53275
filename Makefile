# Babelscene: the verbs people type. `make help` lists them.
SHELL    := /bin/bash
PYTHON   ?= python3
PROFILE  ?= demo
FAMILY   ?= mvptr
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
.PHONY: help setup lock shards features pretrain evaluate tasks ablations report status test lint bench torture clean

help:  ## this list
	@echo "usage: make VERB [PROFILE=demo|photos|online] [ARGS='detector.steps=300 ...']"
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  %-10s %s\n", $$1, $$2}'

# The stamp holds the digest of the lock: set-up runs once, and again only when the lock has changed.
setup:  ## make .venv and install the locked packages; every other verb does it when needed
	@digest=$$(cat requirements.lock pyproject.toml | sha256sum | cut -d' ' -f1); \
	if [ "$$(cat $(STAMP) 2>/dev/null)" != "$$digest" ]; then \
	  set -e; rm -f $(STAMP); \
	  [ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV); \
	  [ -x $(UV) ] || $(BIN)/python -m pip install --quiet uv==0.13.8; \
	  echo "installing the locked packages (once)"; \
	  $(UV) pip install --quiet --python $(BIN)/python --compile-bytecode --require-hashes -r requirements.lock; \
	  $(UV) pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation \
	    --config-settings editable_mode=compat --editable .; \
	  $(BIN)/python -m compileall -q store pipeline crawl extract parse train evaluate; \
	  echo "$$digest" > $(STAMP); \
	fi

lock: setup  ## write requirements.lock anew from pyproject.toml
	$(UV) pip compile --quiet --generate-hashes --no-emit-index-url --no-annotate --no-header \
	  --extra dev --python-version 3.11 -o requirements.lock pyproject.toml

shards: setup  ## sources -> WebDataset shards
	@$(RUN) run shards -p $(PROFILE) $(ARGS)

features: setup  ## shards -> regions, phrases, concepts
	@$(RUN) run regions phrases concepts -p $(PROFILE) $(ARGS)

pretrain: evaluate  ## everything but the tasks: shards, features, pre-training, evaluation, report
	@$(RUN) report -p $(PROFILE) $(ARGS)

evaluate: setup  ## score the pre-trained model, after making it where needed
	@$(RUN) run score_detector score_phrases retrieval retrieval_no_phrases overlap -p $(PROFILE) $(ARGS)

tasks: setup  ## a family's tasks, tuned and scored beside models without images: FAMILY=mvptr or mmbert
	@$(RUN) run -f stages/$(FAMILY).yaml -p $(PROFILE) $(ARGS)
	@$(RUN) report -f stages/$(FAMILY).yaml -p $(PROFILE) $(ARGS)

ablations: setup  ## pre-training with and without phrases, tags and the grounding loss, by retrieval
	@$(RUN) run -f stages/ablations.yaml -p $(PROFILE) $(ARGS)
	@$(RUN) report -f stages/ablations.yaml -p $(PROFILE) $(ARGS)

report: setup  ## write the report of what there is
	@$(RUN) report -p $(PROFILE) $(ARGS)

status: setup  ## one line a stage
	@$(RUN) status -p $(PROFILE) $(ARGS)

test: setup  ## the test suite
	@$(BIN)/python -m pytest --numprocesses 2 --dist loadfile $(ARGS)

lint: setup  ## ruff and mypy
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy store pipeline crawl extract parse train evaluate

bench: setup  ## measured ratios, each in one run (docs/benchmarks.md); bench-stores, bench-crawl ... alone
	@for script in benchmarks/bench_*.py; do $(BIN)/python $$script || exit 1; done

bench-%: setup
	@$(BIN)/python benchmarks/bench_$*.py $(ARGS)

torture: setup  ## kill -9 the whole pipeline at random moments, resume, compare digests
	@$(BIN)/python benchmarks/torture.py $(ARGS)

clean:  ## remove the workspace and caches; .venv stays
	rm -rf work .pytest_cache .mypy_cache .ruff_cache .hypothesis
