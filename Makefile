# All commands of the project. `make run` and `make demo` need only make, python3 and root or sudo.
PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV

BIN = $(VENV)/bin
CODE = webhook_api workers messaging simulator omctl deploy tests docs
# More options for pytest, such as PYTEST="-k journal -x"
PYTEST ?=
# How many tests run in parallel: three times the number of cores, because most tests mainly wait for servers
LANES ?= 6
# Options for the chaos suite, such as CHAOS="--fault 3 --seed 1f2e"
CHAOS ?=
# Options for the benchmarks, such as BENCH="--only growth --rows 200000"
BENCH ?=
# Options for the questions, such as QUESTIONS="--events 1000000"
QUESTIONS ?=
# Options of `make alerts`, such as ALERTS="--quiet-minutes 60"
ALERTS ?=
# The pages that `make docs-run` runs, such as PAGES="tuning database"; by default, all
PAGES ?=
# Options of `omctl install`, such as INSTALL="--server-name hooks.example.com --workers 4"
INSTALL ?=
# How many schedules `make simulate` runs, each from its own seed
SEEDS ?= 200000
# How many minutes `make soak` runs
SOAK ?= 60

.DEFAULT_GOAL := help
.PHONY: help install lock wheel release install-vm run demo test test-nightly test-systemd test-three test-upgrade test-compose test-containers check format format-check lint types imports migrations-check figures figures-check evidence sizes model simulate simulate-behind power alerts chaos chaos-sabotage soak bench bench-quick questions docs docs-run diagrams profile

help: ## List these commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' Makefile

install: ## Create or update the virtual environment
	@deploy/local/prepare

# Install what `make run` and `make demo` need: the service without the tools for checks and tests.
.PHONY: local
local:
	@EXTRAS=local deploy/local/prepare

run: local ## Set up and run the whole service in this checkout; Ctrl-C stops it
	@$(BIN)/python -m deploy.local run

lock: ## Update the pinned versions: deploy/constraints.txt for checkouts, deploy/requirements.lock for installations
	@deploy/local/lock-requirements

wheel: ## Build the wheel, the source archive, the lock file, the SBOM and checksums into dist/
	@deploy/local/build-distributions

release: evidence ## Do what `make wheel` does, but only if every long suite has passed on this code and all is committed
	@test -z "$$(git status --porcelain)" || { echo "There are uncommitted changes: commit them first."; exit 1; }
	@deploy/local/build-distributions

install-vm: ## Install or upgrade the service on this Debian host under systemd
	@deploy/install-vm $(INSTALL)

demo: local ## Run the service, send 1,000 simulated events and account for each; with KEEP=1, the service keeps running
	@$(BIN)/python -m deploy.local demo $(if $(KEEP),--keep)

test: install ## Run all tests except the long suites, on a real RabbitMQ, PostgreSQL and SQLite
	@$(BIN)/python -m tests.servers -n $(LANES) --dist loadscope --no-loadscope-reorder --durations 15 $(PYTEST)

test-nightly: install ## Settle 10,000 random examples, replay 10,000 dead letters, remove a node from a cluster, remove safeguards
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m tests.servers --timeout 0 tests/integration/workers tests/integration/omctl tests/unit/settle -k "any_order or cancelled_killed_and_continued or leader_of_the_queue_leaves or fails_without_the_safeguard" $(PYTEST)

test-systemd: install ## Install the service in a container with Debian 13 and systemd; kill, scale, reboot, upgrade and remove it
	@$(BIN)/python -m tests.machines systemd

test-three: install ## Install the service with a clustered broker on three machines in containers, and lose one machine under load
	@$(BIN)/python -m tests.machines three

test-upgrade: install ## Upgrade one machine, then three machines in turn, from the previous version under traffic, and roll them back
	@$(BIN)/python -m tests.machines upgrade

test-compose: install ## Start the containers of docker/compose.yaml, and send an event through them
	@$(BIN)/python -m tests.machines compose

test-containers: install ## Run some of the integration tests on a RabbitMQ and a PostgreSQL that testcontainers starts
	@$(BIN)/python -m tests.machines containers

check: format-check lint types imports figures-check test ## Run what CI runs: format-check, lint, types, imports, figures-check and test

format: install ## Format the code
	@$(BIN)/ruff format $(CODE)

format-check: install ## Check that the code is formatted
	@$(BIN)/ruff format --check $(CODE)

lint: install ## Check the code with ruff
	@$(BIN)/ruff check $(CODE)

types: install ## Check the types with mypy in strict mode
	@$(BIN)/mypy

imports: install ## Check which package imports which: in one direction only, and only through a package's __init__
	@$(BIN)/lint-imports --no-cache

migrations-check: install ## Check that the migrations create the tables that the code expects, and that they can be undone
	@$(BIN)/python -m tests.servers -q tests/integration/workers/db/test_migrations.py

figures: install ## Copy the recorded results of `make bench`, `make chaos` and other suites into the pages that quote them
	@$(BIN)/python -m tests.figures

figures-check: install ## Check that the figures in the pages equal the recorded results and name the commit that was measured
	@$(BIN)/python -m tests.figures --check

evidence: install ## List the last result of each long suite; fail if a result is missing, a failure, or older than the code
	@$(BIN)/python -m tests.figures.evidence

sizes: install ## Print the sizes of the project and their limits
	@$(BIN)/python -m tests.figures.sizes

model: install ## Check the models of the protocol in every order of their steps, and find every known defect (two minutes)
	@$(BIN)/python -m tests.model

simulate: install ## Simulate the edge with 200,000 seeds, or SEEDS=number (a quarter of an hour)
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)

simulate-behind: install ## Simulate intake, settle and deliver with 2,000 seeds (ten minutes)
	@$(BIN)/python -m tests.simulation behind

power: install ## Cut the power of the edge's disk 200 times and of the broker's ten times (half an hour; needs root, loop devices)
	@$(BIN)/python -m tests.power

alerts: install ## Cause the fault of each alert in a running service with a Prometheus (15 minutes; needs root)
	@$(BIN)/python -m tests.alerts $(ALERTS)

chaos: install ## Break a running service in every known way, prove each fault, and look for lost events (an hour)
	@$(BIN)/python -m tests.chaos --json docs/chaos/results.json $(CHAOS)

chaos-sabotage: install ## Remove one safeguard at a time from a copy of the service, and check that the suite finds each defect
	@$(BIN)/python -m tests.chaos sabotage --json docs/chaos/sabotage.json $(CHAOS)

soak: install ## Cause a fault once a minute for an hour, or SOAK=minutes, and check that memory and descriptors do not grow
	@$(BIN)/python -m tests.chaos.soak --json docs/chaos/soak.json $(SOAK)

bench: install ## Measure the service, and simpler programs for the same task (most of an hour on an idle machine)
	@$(BIN)/python -m tests.benchmarks --json docs/performance/results.json --chart docs/performance/chart.png $(BENCH)

bench-quick: install ## Measure the main ratios in under three minutes
	@$(BIN)/python -m tests.benchmarks --quick $(BENCH)

questions: install ## Run the queries of docs/database.md on five million events (takes minutes, needs 8 GB in /var/tmp)
	@$(BIN)/python -m tests.questions --json docs/performance/questions.json $(QUESTIONS)

docs: install ## Build the documentation as a site with search, which om-observe serves at /docs/
	@$(BIN)/pip install --quiet --constraint deploy/constraints.txt --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-run: install ## Run the shell blocks of all pages, or of PAGES, in containers, and compare the output (half an hour)
	@$(BIN)/python -m tests.machines pages $(PAGES)

diagrams: install ## Draw the diagrams that have changed in the pages; needs npm
	@$(BIN)/python docs/draw_diagrams.py

profile: install ## Draw flame graphs that show where an edge process and a worker process spend their time
	@$(BIN)/python -m tests.benchmarks.profiling docs/performance
