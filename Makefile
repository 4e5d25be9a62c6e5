# Every target sets itself up: a fresh clone needs nothing but make, git and Python 3.11.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

BIN := .venv/bin
NETWORK := scripts/with-network
# As many workers as processors, within reason: the kernel tests make their own network namespaces.
# What the cluster targets build. Cilium takes 4 minutes and clang; e2e, cnp and cyclonus are others' tests.
CLUSTER_PARTS := control-plane nodes flannel
test-cluster: CLUSTER_PARTS += cilium e2e cnp cyclonus
PYTEST := $(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal \
	--durations=20 --durations-min=1 $(PYTEST_ARGS)

.PHONY: help
help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | column -t -s '|'

.PHONY: setup
setup: ## install what is missing: system packages (as root), then .venv from the hashed lock
	@scripts/bootstrap

.PHONY: demo
demo: setup ## show policyd at work: pods in network namespaces, policies, real packets
	@$(NETWORK) $(BIN)/policyd demo

.PHONY: test
test: setup ## run every test, those on a real kernel included
	@$(NETWORK) $(PYTEST) tests

.PHONY: unit
unit: setup ## run the tests that need no kernel and no privileges
	@$(PYTEST) -m 'not kernel' tests

.PHONY: kernel
kernel: setup ## run only the tests on a real kernel
	@$(NETWORK) $(PYTEST) -m kernel tests

# One after the other: they measure. Their short forms are in `make test`.
SOAK_SECONDS ?= 300
.PHONY: soak
soak: setup ## an agent under churn and faults for five minutes, then a hundred that are killed (SOAK_SECONDS)
	@POLICYD_SOAK_SECONDS=$(SOAK_SECONDS) POLICYD_KILLS=100 $(NETWORK) $(BIN)/python -m pytest $(PYTEST_ARGS) \
		tests/reliability/test_soak.py tests/reliability/test_kills.py

.PHONY: cluster-build
cluster-build: setup ## build the programs of a real Kubernetes, for the tests on a cluster (root, Go; minutes, once)
	@$(BIN)/python -m tests.cluster build $(CLUSTER_PARTS)

.PHONY: cluster
cluster: cluster-build ## bring up a real Kubernetes of two nodes to play with, until Ctrl-C
	@$(BIN)/python -m tests.cluster up $(CLUSTER_ARGS)

# One process: the clusters are large, and each test that needs one of its own brings it up.
.PHONY: test-cluster
test-cluster: cluster-build ## run the tests on real clusters, or on the one that KUBECONFIG names
	@$(BIN)/python -m pytest -m cluster $(PYTEST_ARGS) tests

.PHONY: test-cluster-smoke
test-cluster-smoke: cluster-build ## run only the first of them: install policyd, and try what policies do (3 minutes)
	@$(BIN)/python -m pytest -m cluster $(PYTEST_ARGS) tests/cluster/policyd/test_smoke.py

.PHONY: test-networks
test-networks: setup ## run the tests on networks of every kind, with real plugins and packets (docs/networks.md; minutes, root)
	@$(NETWORK) $(BIN)/python -m pytest -m kernel $(PYTEST_ARGS) tests/networks tests/cni tests/node tests/kernel/test_traffic.py \
		tests/kernel/test_services.py tests/kernel/test_guards.py

.PHONY: golden
golden: setup ## print the rulesets of tests/golden again, to be read before they are committed
	@$(BIN)/python -m tests.golden

.PHONY: lint-docs
lint-docs: setup ## write the pages of rules in docs/lint.md again, after a change of a rule
	@$(BIN)/python -m tests.lint

.PHONY: faults
faults: setup ## plant mistakes in copies of the sources, one at a time: a test must notice each (minutes)
	@$(NETWORK) $(BIN)/python -m tests.faults $(FAULTS)

.PHONY: fuzz
fuzz: setup ## meet every reader of text from outside with a million damaged inputs (20 minutes)
	@$(BIN)/python -m tests.fuzz $(FUZZ)

.PHONY: check
check: setup ## lint, format, types and import contracts; all of them, even after one fails
	@failed=(); \
	run() { echo "== $$*"; "$(BIN)/$$@" || failed+=("$$1 $${2-}"); }; \
	run ruff check --quiet .; \
	run ruff format --check --quiet .; \
	run mypy $$(for source in policyd compiler tests bench; do find "$$source" -name '*.py' -printf "$$source\n" -quit 2>/dev/null || true; done); \
	run lint-imports; \
	if (($${#failed[@]})); then printf 'failed: %s\n' "$${failed[@]}"; exit 1; fi

.PHONY: format
format: setup ## rewrite the sources as the formatter wants them
	@$(BIN)/ruff check --quiet --fix . || true
	@$(BIN)/ruff format .

.PHONY: bench
bench: setup ## measure compile, apply and packets in minutes, and compare with the baseline
	@$(NETWORK) $(BIN)/python -m bench

# BENCH='packets 10000 --samples 20': rows and options (docs/benchmarks.md).
.PHONY: bench-full
bench-full: setup ## measure all that has an aim, write build/bench.json; fails for each aim missed (an hour, root)
	@$(NETWORK) $(BIN)/python -m bench.full $(BENCH)

.PHONY: bench-charts
bench-charts: setup ## draw docs/packets.svg and docs/changes.svg from build/bench.json
	@$(BIN)/python -m bench.charts

.PHONY: reach-picture
reach-picture: setup ## draw docs/reach.svg, the picture of docs/boutique, again
	@$(BIN)/policyd reach -f docs/boutique --to 'default/*' -o svg >docs/reach.svg

.PHONY: fresh
fresh: ## run the demonstration and the tests in a minimal Debian made for the purpose (root)
	@scripts/fresh

.PHONY: image
image: ## build the container image into dist/policyd.tar, with no registry (root; minutes)
	@scripts/image

.PHONY: manifests
manifests: setup ## make install.yaml and what else is made from the chart (needs Go)
	@$(BIN)/python -m tests.deploy

.PHONY: krew
krew: setup ## make the archives and the manifest of `kubectl policyd` for krew, in dist/krew (KREW_URL=where they will be)
	@$(BIN)/python scripts/krew $(KREW_URL) $(KREW_PLATFORMS)

.PHONY: lock
lock: setup ## pin the dependencies again, with hashes (needs uv)
	@scripts/lock

.PHONY: clean
clean: ## remove what the other targets made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
