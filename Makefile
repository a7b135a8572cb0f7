# Every command of the project. `make run` and `make demo` need nothing but make, python3 and root or sudo.
PYTHON ?= python3
VENV ?= .venv
export PYTHON VENV

BIN = $(VENV)/bin
CODE = webhook_api workers messaging simulator omctl deploy tests docs
# More options for pytest, such as PYTEST="-k journal -x"
PYTEST ?=
# How many tests run side by side: thrice the cores, since a test waits for servers most of its time
LANES ?= 6
# Options for the chaos suite, such as CHAOS="--fault 3 --seed 1f2e"
CHAOS ?=
# Options for the benchmarks, such as BENCH="--only growth --rows 200000"
BENCH ?=
# Options for the questions, such as QUESTIONS="--events 1000000"
QUESTIONS ?=
# Options of the installation, such as INSTALL="--server-name hooks.example.com --workers 4"
INSTALL ?=
# Schedules of a simulation
SEEDS ?= 200000
# Minutes of a soak
SOAK ?= 60

.DEFAULT_GOAL := help
.PHONY: help install lock wheel release install-vm run demo test test-nightly test-systemd test-three test-upgrade test-compose check format format-check lint types imports migrations-check figures figures-check evidence sizes model simulate power alerts chaos chaos-sabotage soak bench bench-quick questions docs docs-run diagrams profile

help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-17s %s\n", $$1, $$2}' Makefile

install: ## Make the virtual environment, or bring it up to date
	@deploy/local/prepare

# What run and demo need: the service without the tools for checks and tests.
.PHONY: local
local:
	@EXTRAS=local deploy/local/prepare

run: local ## Set everything up and run the service here; Ctrl-C stops it
	@$(BIN)/python -m deploy.local run

lock: ## Update the pinned releases: deploy/constraints.txt for checkouts, deploy/requirements.lock for installations
	@deploy/local/lock-requirements

wheel: ## Build the wheel, the source archive, the lock file, the SBOM and checksums into dist/
	@deploy/local/build-distributions

release: evidence ## Build the same if every long suite has passed on this code and nothing is uncommitted
	@test -z "$$(git status --porcelain)" || { echo "There are uncommitted changes: this is no release."; exit 1; }
	@deploy/local/build-distributions

install-vm: ## Install the service on this Debian host under systemd, or bring it up to date
	@deploy/install-vm $(INSTALL)

demo: local ## Run the service, send 1,000 simulated events and check them; KEEP=1 keeps it running
	@$(BIN)/python -m deploy.local demo $(if $(KEEP),--keep)

test: install ## Run all tests but the long ones, on a real RabbitMQ, PostgreSQL and SQLite
	@$(BIN)/python -m tests.servers -n $(LANES) --dist loadscope --no-loadscope-reorder --durations 15 $(PYTEST)

test-nightly: install ## Run settling with 10,000 examples, replay 10,000 dead letters, leave a cluster
	@HYPOTHESIS_PROFILE=nightly $(BIN)/python -m tests.servers --timeout 0 tests/integration/workers tests/integration/omctl tests/unit/settle -k "any_interleaving or thousands_of_dead_letters or leader_of_the_queue_leaves" $(PYTEST)

test-systemd: install ## Install on a bare Debian 13 with systemd in a container, and kill, scale, reboot, upgrade and remove it there
	@$(BIN)/python -m tests.machines systemd

test-three: install ## Install on three such machines with one broker over all, and lose one under load
	@$(BIN)/python -m tests.machines three

test-upgrade: install ## Upgrade such a machine from the previous version and take it back under traffic, workers or edge first
	@$(BIN)/python -m tests.machines upgrade

test-compose: install ## Bring docker/compose.yaml up, and send an event through it
	@$(BIN)/python -m tests.machines compose

check: format-check lint types imports figures-check test ## What CI runs: all of the checks below, then the tests

format: install ## Format the code
	@$(BIN)/ruff format $(CODE)

format-check: install ## Check that the code is formatted
	@$(BIN)/ruff format --check $(CODE)

lint: install ## Look for faults with ruff
	@$(BIN)/ruff check $(CODE)

types: install ## Check the types with mypy, strictly
	@$(BIN)/mypy

imports: install ## Check that imports point one way
	@$(BIN)/lint-imports --no-cache

migrations-check: install ## Check only that the migrations make the tables that the code expects, and back
	@$(BIN)/python -m tests.servers -q tests/integration/workers/db/test_migrations.py

figures: install ## Write the figures that pages quote, from the files that `make bench` and `make chaos` left
	@$(BIN)/python -m tests.figures

figures-check: install ## Check that pages quote what is on file, and of which code it is
	@$(BIN)/python -m tests.figures --check

evidence: install ## List the long suites with their last results; fail if one is missing or older than the code
	@$(BIN)/python -m tests.figures.evidence

sizes: install ## Print the sizes of the project beside their limits
	@$(BIN)/python -m tests.figures.sizes

model: install ## Check the protocol in every order of its steps, and find every known defect: two minutes
	@$(BIN)/python -m tests.model

simulate: install ## Simulate the edge by 200,000 seeds, or SEEDS=number, then settle and deliver by 2,000: half an hour
	@$(BIN)/python -m tests.simulation --seeds $(SEEDS)
	@$(BIN)/python -m tests.simulation behind

power: install ## Cut the power of the edge's disk 200 times, and of the broker's ten times: needs root and loop devices, half an hour
	@$(BIN)/python -m tests.power

alerts: install ## Fire each alert in its fault, and none without one, by Prometheus' own rule engine
	@$(BIN)/python -m pytest -q -x -s tests/integration/workers/observe/test_alert_rules.py

chaos: install ## Break a running service in every way, prove each fault, and look for losses: half an hour
	@$(BIN)/python -m tests.chaos --json docs/chaos/results.json $(CHAOS)

chaos-sabotage: install ## Break the service once for every fault, and see that fault's check fail
	@$(BIN)/python -m tests.chaos sabotage --json docs/chaos/sabotage.json $(CHAOS)

soak: install ## Strike once a minute for an hour, or SOAK=minutes, and see that nothing grows
	@$(BIN)/python -m tests.chaos.soak --json docs/chaos/soak.json $(SOAK)

bench: install ## Measure everything beside what one would write instead: most of an hour on an idle machine
	@$(BIN)/python -m tests.benchmarks --json docs/performance/results.json --chart docs/performance/chart.png $(BENCH)

bench-quick: install ## Measure the main ratios in under three minutes
	@$(BIN)/python -m tests.benchmarks --quick $(BENCH)

questions: install ## Ask the questions of docs/database.md on five million events: some minutes and 8 GB in /var/tmp
	@$(BIN)/python -m tests.questions --json docs/performance/questions.json $(QUESTIONS)

docs: install ## Write the documentation as a site with search; observe serves it at /docs/
	@$(BIN)/pip install --quiet --constraint deploy/constraints.txt --editable '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

docs-run: install ## Run the shell blocks of all pages on bare machines in containers, and compare what they print: half an hour
	@$(BIN)/python -m tests.machines pages

diagrams: install ## Draw diagrams of the pages that have changed; needs npm
	@$(BIN)/python docs/draw_diagrams.py

profile: install ## Draw where an edge and a worker process spend their time, as flame graphs
	@$(BIN)/python -m tests.benchmarks.profiling docs/performance
