# One command each. `make demo` and `make test` need nothing first: they create .venv and install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-slow test-ray check docs bench results clean

install: $(STAMP)

# torch comes first and capped: on Linux an open range resolves to a CUDA build of several gigabytes. rbo, the peer that
# our measures are tested against, pins a numpy of years ago, hence --no-deps.
$(STAMP): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet "torch>=2.13,<2.14"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	$(BIN)/python -m pip install --quiet --no-deps rbo==0.1.3
	touch $@

demo: install
	$(BIN)/finestrec demo --out finestrec-demo --force

test: install
	$(BIN)/python -m pytest

test-slow: install
	$(BIN)/python -m pytest -m slow

# Ray is an extra, installed for these tests only.
test-ray: install
	$(BIN)/python -m pip install --quiet --editable ".[ray]"
	$(BIN)/python -m pytest -m ray

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# The documentation site, in site/.
docs: install
	$(BIN)/python -m pip install --quiet --group docs
	$(BIN)/mkdocs build --quiet

# Minutes long, on a quiet machine.
bench: install
	$(BIN)/python -m benchmarks.overlap
	$(BIN)/python -m benchmarks.compare
	$(BIN)/python -m benchmarks.perturbation
	$(BIN)/python -m benchmarks.statistics
	$(BIN)/python -m benchmarks.casper
	$(BIN)/python -m benchmarks.evaluation
	$(BIN)/python -m benchmarks.scan
	$(BIN)/python -m benchmarks.training
	$(BIN)/python -m benchmarks.models
	$(BIN)/python -m benchmarks.protocol
	$(BIN)/python -m benchmarks.audit

# Hours long, in pieces: stop it at any moment and start it again.
results: install
	$(BIN)/python -m benchmarks.evidence

clean:
	rm -rf $(VENV) finestrec-demo site
