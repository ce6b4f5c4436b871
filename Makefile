# Two commands from a fresh clone: `make report` and `make test`. Each makes its own environment in .venv.
PYTHON ?= python3
PRESET ?= quick
VENV := .venv
SOURCES := pyproject.toml CMakeLists.txt $(shell find cpp python -type f -not -name '*.so' -not -path '*/__pycache__/*')

.PHONY: report test clean

report: $(VENV)/installed
	$(VENV)/bin/python experiments/report.py --preset $(PRESET)

test: $(VENV)/installed
	$(VENV)/bin/python -m pytest tests

$(VENV)/installed: $(SOURCES)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check ".[test]"
	touch $@

clean:
	rm -rf $(VENV) build report
