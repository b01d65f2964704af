# Every target works from a fresh clone, without root, in a virtual environment of its own.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --constraint constraints.txt
# pip says nothing while it unpacks, for a minute or more: how much is there is said meanwhile.
INSTALL = @(while sleep 5 >/dev/null 2>&1; kill -0 $$$$ 2>/dev/null; do du -sh $(VENV); done) & $(PIP)

.PHONY: help setup demo cluster-demo test lint types check audit fuzz docs bench baseline optimizations faults clean
help:
	@echo "make demo      set up, measure a ResNet50, print the table, draw the figures"
	@echo "make cluster-demo  the same on a throw-away Slurm cluster (Debian 12, root)"
	@echo "make test      set up and run the tests"
	@echo "make check     lint and types"
	@echo "make audit     look the pinned packages up among known vulnerabilities"
	@echo "make fuzz      alter files of every kind, guided by coverage, for SECONDS=60 each"
	@echo "make docs      build the site into build/docs"
	@echo "make bench     compare with other harnesses: ratios, no absolute times"
	@echo "make faults    kill, fill, cut and double everything: what is promised, and whether it holds"
	@echo "make baseline  measure the baseline anew and rewrite docs/baseline.md"
	@echo "make optimizations  the same for docs/optimizations.md: half an hour, without building"
	@echo "make clean     remove what was built; runs/ stays"

# The stamps: an environment is set up again only when what it is made of has changed.
$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)
$(VENV)/.demo: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "Installing litesweep with TensorFlow and LiteRT into $(VENV) ..."
	$(INSTALL) --editable ".[build]"
	@touch $@
$(VENV)/.test: setup.cfg constraints.txt | $(VENV)/bin/python
	@echo "Installing litesweep with what its tests need into $(VENV) ..."
	$(INSTALL) --editable ".[test]"
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.demo
demo: $(VENV)/.demo
	$(BIN)/litesweep run jobs/examples/resnet50-demo.toml --out runs/demo
	@[ runs/demo/figures/speedup.png -nt runs/demo/results.h5 ] || $(BIN)/litesweep figures runs/demo

cluster-demo: $(VENV)/.test
	tests/cluster/demo $(BIN)

test: $(VENV)/.test
	$(BIN)/python -m pytest

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
types: $(VENV)/.test
	$(BIN)/mypy
check: lint types
audit: $(VENV)/.test
	$(PIP) --quiet pip-audit
	PATH=$(BIN):$$PATH .ci/audit

SECONDS ?= 60
fuzz: $(VENV)/.test
	$(PIP) --quiet --editable ".[fuzz]"
	FUZZ_EXAMPLES=500 $(BIN)/python -m pytest tests/test_fuzz_files.py
	for name in $$($(BIN)/python -m tests.fuzz.guided); do \
		$(BIN)/python -m tests.fuzz.guided $$name -max_total_time=$(SECONDS) || exit; done

docs: $(VENV)/.test
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo build/docs/index.html

bench: $(VENV)/.test
	$(BIN)/python -m tests.benchmarks
faults: $(VENV)/.test
	$(BIN)/python -m tests.faults
baseline: $(VENV)/.demo
	$(BIN)/litesweep run jobs/examples/resnet50-baseline.toml --out runs/baseline
	$(BIN)/python docs/baseline.py runs/baseline > docs/baseline.md
	$(BIN)/litesweep figures runs/baseline
	for name in latency speedup; do cp runs/baseline/figures/$$name.svg docs/baseline-$$name.svg; done
optimizations: $(VENV)/.demo
	for name in optimizations optimizations-resnet50; do \
		$(BIN)/litesweep run jobs/examples/$$name.toml --out runs/$$name || exit; done
	$(BIN)/python docs/optimizations.py runs/optimizations runs/optimizations-resnet50 docs

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
