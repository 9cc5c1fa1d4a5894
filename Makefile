# make setup   .venv with everything, and the command `veilstream` in it
# make demo    the real path end to end on this machine      ARGS="--input FILE --limit N --json --dump DIR"
# make test    every test but the slow ones                  ARGS="-k word"
# make tools   Prometheus, Alertmanager, Redis for the tests: apt-get, as root; `make test` does it too
# make check   format, lint, types, architecture
# make bench   one benchmark                                 ARGS="…"
# make chaos   every fault, on real brokers                  ARGS="--seed N --minutes M --json --faults a,b"
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.complete
ARGS   ?=

help:
	@sed -n 's/^# //p' Makefile

setup: $(STAMP)

# uv installs what pip would, from the same index, in a fraction of the time. Versions: constraints.txt.
# Only standard error may speak: `make demo ARGS=--json` prints one object on standard output.
$(STAMP): pyproject.toml constraints.txt
	@echo "veilstream: setting up $(VENV) (once)" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) >&2
	@test -x $(BIN)/uv || $(BIN)/python -m pip install --quiet -c constraints.txt uv >&2
	@$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[all]' --group dev >&2
	@touch $(STAMP)

demo: $(STAMP)
	@$(BIN)/veilstream demo $(ARGS)

tools:
	@.ci/tools

# Without the tools the tests that need them fail, and say so; the others run.
test: $(STAMP)
	@.ci/tools || true
	$(BIN)/pytest -m "not slow" -n 2 --dist loadfile $(ARGS)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

bench: $(STAMP)
	@$(BIN)/veilstream bench $(ARGS)

chaos: $(STAMP)
	@$(BIN)/veilstream chaos $(ARGS)

clean:
	rm -rf $(VENV) .veilstream .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.PHONY: help setup demo tools test check bench chaos clean
