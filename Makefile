# One command each. `make demo` and `make test` need nothing first: they create .venv and install.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: install demo test test-slow test-ray test-hosts check docs bench results clean

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

# The hosts' pins clash with one another, so each has an environment of its own. numpy, pandas and setuptools are held
# back for RecBole, and lightning-fabric to the release that RecTools' pytorch-lightning brings a copy of. ml-100k lies
# in RecBole's wheel, which is taken without its dependencies for RecTools.
test-hosts: .venv-recbole/.installed .venv-rectools/.installed
	.venv-recbole/bin/python -m pytest tests/hosts/test_recbole.py
	.venv-rectools/bin/python -m pytest tests/hosts/test_rectools.py

.venv-recbole/.installed: HOST := recbole==1.2.1 "numpy<2" "pandas<2.3" "setuptools<81"
.venv-rectools/.installed: HOST := "rectools[torch]==0.19.0" "lightning-fabric==2.5.2"

.venv-%/.installed: pyproject.toml
	test -x $(@D)/bin/python || $(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet "torch>=2.13,<2.14"
	$(@D)/bin/python -m pip install --quiet $(HOST) --editable . "hypothesis>=6.170" "pytest>=9.2"
	$(@D)/bin/python -m pip install --quiet --no-deps recbole==1.2.1
	touch $@

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
	$(BIN)/python -m benchmarks.methods
	$(BIN)/python -m benchmarks.protocol
	$(BIN)/python -m benchmarks.audit

# Hours long, in pieces: stop it at any moment and start it again.
results: install
	$(BIN)/python -m benchmarks.evidence

clean:
	rm -rf $(VENV) .venv-recbole .venv-rectools finestrec-demo site
