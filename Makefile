# Qianmian's commands. `make` alone lists them.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# Superset's own environment: its pins do not go with Airflow's.
VENV_BI := .venv-bi

# Processes that share the tests: as many as there are cores, four at most (each may hold a Spark of its own).
TEST_PROCESSES ?= $(shell n=$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2); echo $$((n < 4 ? n : 4)))
# What `make run` works for; empty means: as qianmian.toml says.
SHOP         ?= simulated
DATA         ?=
AS_OF        ?=
FULL_REFRESH ?=
WHY          ?=
# Of `make backfill`: the first and the last day.
FROM         ?=
TO           ?=
AGAIN        ?=
export SHOP DATA AS_OF WHY FROM TO

# Where it is set, as in many containers, each of a day's steps compiles thousands of files anew: a sixth of the day.
unexport PYTHONDONTWRITEBYTECODE
# Tests and steps run side by side: threads that wait for one another sleep, as in Airflow (dags/step_operator.py).
export OMP_WAIT_POLICY ?= passive

.DEFAULT_GOAL := help
.PHONY: help run backfill train rollback forget mlflow preview bi up stop status logs docs test test-parts test-days test-airflow test-bi check format install install-dev chromium clean

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "  make run SHOP=online_retail DATA=folder AS_OF=2011-11-30 [FULL_REFRESH=1]"
	@echo "  Everything that is written lies under var/ (QIANMIAN_HOME=folder: elsewhere)."

run: $(VENV)/.installed ## Run the daily job once (SHOP, DATA, AS_OF, FULL_REFRESH) and show what it published
	@$(BIN)/python -m qianmian run --shop "$$SHOP" --data "$$DATA" --as-of "$$AS_OF" $(if $(FULL_REFRESH),--full-refresh)

backfill: $(VENV)/.installed ## Run past days one after the other (FROM, TO, SHOP; AGAIN=1: those that succeeded too)
	@$(BIN)/python -m qianmian backfill --shop "$$SHOP" --from "$$FROM" --to "$$TO" $(if $(AGAIN),--again)

train: $(VENV)/.installed ## Train text encoder and recommender for a day that has run, promote each if it wins (SHOP, AS_OF)
	@$(BIN)/python -m qianmian train --shop "$$SHOP" --as-of "$$AS_OF"

rollback: $(VENV)/.installed ## Put the set of tables before the latest back (SHOP, WHY)
	@$(BIN)/python -m qianmian rollback --shop "$$SHOP" $(if $(WHY),--why "$$WHY")

forget: $(VENV)/.installed ## Forget who asked for it, everywhere, and delete what was kept long enough (SHOP, AS_OF)
	@$(BIN)/python -m qianmian forget --shop "$$SHOP" --as-of "$$AS_OF"

mlflow: $(VENV)/.installed ## Show all trainings in MLflow's pages, until Ctrl-C
	@$(BIN)/python -m qianmian mlflow

preview: $(VENV)/.installed ## Show portraits, pages and reasons in the browser, read-only, until Ctrl-C (SHOP)
	@$(BIN)/python -m preview --shop "$$SHOP"

bi: $(VENV)/.installed $(VENV_BI)/.installed ## Show the dashboard in Superset, on this machine, until Ctrl-C (SHOP)
	@$(BIN)/python -m bi --shop "$$SHOP"

up: $(VENV)/.installed ## Leave Airflow running on its daily schedule
	@$(BIN)/python -m qianmian up

stop: $(VENV)/.installed ## Stop Airflow, its PostgreSQL and whatever they run
	@$(BIN)/python -m qianmian stop

status: $(VENV)/.installed ## Show what runs, its memory, and where the UI is
	@$(BIN)/python -m qianmian status || true

logs: $(VENV)/.installed ## Show the last lines of Airflow's logs
	@$(BIN)/python -m qianmian logs

docs: $(VENV)/.installed ## Write dbt's page of a shop's models and columns, after a run (SHOP)
	@lake=$$($(BIN)/python -c "import sys; from qianmian import settings; print(settings.load(sys.argv[1]).lake)" "$$SHOP"); \
	day=$$(ls "$$lake/outputs" 2>/dev/null | sed -n 's/^as_of_date=//p' | tail -n 1); \
	[ -n "$$day" ] || { echo "ERROR: the shop $$SHOP has no run yet. WHAT TO DO: make run SHOP=$$SHOP"; exit 2; }; \
	QIANMIAN_LAKE=$$lake DBT_SEND_ANONYMOUS_USAGE_STATS=false $(BIN)/dbt --quiet docs generate --static \
		--project-dir dbt_project --profiles-dir dbt_project --target-path "$$lake/dbt_docs" --log-path "$$lake/dbt_logs" \
		--vars "{as_of_date: $$day, generated_at: \"$$day 00:00:00\", currency: XXX}" \
	&& echo "$$lake/dbt_docs/static_index.html"

test: $(VENV)/.installed-dev chromium ## Run all tests (the UI test needs Chromium; root gets it with apt-get)
	@# Side by side, as each waits for processes of its own: the first part's dots are seen, what the others say follows.
	@$(MAKE) --no-print-directory --keep-going --jobs=3 test-parts test-days test-airflow TOGETHER=1

# Where several commands run at once, what one of them says is shown when it has ended.
said = $(if $(TOGETHER),log=$$(mktemp); trap 'cat "$$log"; rm -f "$$log"' EXIT; trap 'exit 130' INT TERM; $(1) >"$$log" 2>&1,$(1))

test-parts: $(VENV)/.installed-dev chromium ## Of the tests: all but whole days
	@# What stays in one process and what comes first says tests/conftest.py.
	@OMP_NUM_THREADS=1 $(BIN)/pytest -n $(TEST_PROCESSES) --dist loadscope --no-loadscope-reorder \
		--ignore=tests/acceptance --ignore=tests/e2e --ignore=tests/bi/superset

test-days: $(VENV)/.installed-dev ## Of the tests: whole days by their commands
	@$(call said,$(BIN)/pytest tests/acceptance)

test-airflow: $(VENV)/.installed-dev chromium ## Of the tests: whole days through Airflow
	@$(call said,$(BIN)/pytest tests/e2e)

test-bi: $(VENV)/.installed-dev $(VENV_BI)/.installed chromium ## Test the dashboard in a real Superset and a browser (not part of test)
	@$(BIN)/pytest tests/bi/superset

check: $(VENV)/.installed-dev ## Linter, formatter, types, SQL linter
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy dags
	$(BIN)/sqlfluff lint --disable-progress-bar dbt_project bi/queries

format: $(VENV)/.installed-dev ## Format the sources
	@$(BIN)/ruff check --fix . ; $(BIN)/ruff format .

install: $(VENV)/.installed ## Build the environment (every command does so when it has to)

install-dev: $(VENV)/.installed-dev

clean: ## Stop Airflow; remove the environment and caches (never what was written under var/)
	@[ ! -x $(BIN)/python ] || $(BIN)/python -m qianmian stop
	rm -rf $(VENV) $(VENV_BI) .pytest_cache .mypy_cache .ruff_cache test-artifacts

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { echo "ERROR: $(PYTHON) is not there. WHAT TO DO: install Python 3.11 or newer, or name one: make run PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "ERROR: $$($(PYTHON) --version) is too old. WHAT TO DO: name a Python 3.11 or newer: make run PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || { echo "ERROR: no virtual environment can be made. WHAT TO DO: on Debian and Ubuntu, install the package python3-venv"; rm -rf $(VENV); exit 2; }

PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --no-compile -c requirements.lock

$(VENV)/.installed: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV) (first time: 2 to 4 minutes)"
	@$(PIP) -e .
	@touch $@

$(VENV)/.installed-dev: requirements.lock pyproject.toml | $(BIN)/python
	@echo "installing into $(VENV), with the tools for tests (first time: 2 to 4 minutes)"
	@$(PIP) -e '.[dev]'
	@touch $@ $(VENV)/.installed

$(VENV_BI)/.installed: bi/requirements.lock | $(BIN)/python
	@echo "installing Superset into $(VENV_BI) (first time: 1 to 3 minutes)"
	@[ -x $(VENV_BI)/bin/python ] || $(PYTHON) -m venv $(VENV_BI)
	@$(VENV_BI)/bin/python -m pip install -qq --disable-pip-version-check --no-compile -r $<
	@touch $@

# Debian's package; where it cannot be had, the UI test skips and says so.
chromium:
	@if ! command -v chromium >/dev/null && [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing Chromium for the UI test"; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y install chromium; } >/dev/null 2>&1 \
		|| echo "Chromium could not be installed: the UI test will be skipped"; \
	fi
