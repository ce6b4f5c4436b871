# Two commands from a fresh clone: `make report` and `make test`. Each makes its own environment in .venv.
# `make docs` builds the documentation into build/docs. `make torture` is the long test run: sanitizers, failing
# allocations, kills, cycles. `make aarch64` runs the tests on 64-bit ARM, emulated (Debian, with its cross compiler and QEMU).
# `make riscv64`, `make ppc64le` and `make windows` train networks without Python there, with QEMU or Wine.
# `make release` is a dry run of a release.
# `make mutants` puts one fault after another into a copy of the project and demands that a test fails: some hours.
PYTHON ?= python3
PRESET ?= quick
VENV := .venv
SOURCES := pyproject.toml CMakeLists.txt $(shell find cpp python -type f -not -name '*.so' -not -path '*/__pycache__/*')

.PHONY: report test docs torture aarch64 riscv64 ppc64le windows mutants release clean

report: $(VENV)/installed
	$(VENV)/bin/python experiments/report.py --preset $(PRESET)

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest tests

docs: $(VENV)/installed
	$(VENV)/bin/python -m sphinx -W --keep-going -n -q docs build/docs

torture: $(VENV)/installed
	bash tests/torture.sh

aarch64: $(VENV)/installed
	bash tests/other_systems.sh $@

riscv64 ppc64le windows:
	bash tests/other_systems.sh $@

mutants: $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check cmake ninja pybind11
	PATH=$(PWD)/$(VENV)/bin:$$PATH $(VENV)/bin/python tests/mutations/run.py $(ONLY)

release:
	bash tests/release.sh

$(VENV)/installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build report
