# `make` alone lists what there is.

SHELL := /bin/sh
BIN := .venv/bin
WORKERS ?= 4
.DEFAULT_GOAL := help
.PHONY: help run example image setup kube chart check unit e2e test bench bench-operator lock

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

run: ## serve examples/local.yaml on this machine, mail into ./var/mail; Ctrl-C ends it
	@tools/venv.sh run
	@exec $(BIN)/python tools/foreground.py $(BIN)/mailport serve -f examples/local.yaml --dev

example: ## a destination beside its real other side, one message through (NAME=lmtp or another folder of examples/)
	@tools/venv.sh run
	@test -x "examples/$(NAME)/run" || { echo "make example NAME=…, one of: $$(cd examples && dirname */run | xargs)"; exit 2; }
	@PATH="$(CURDIR)/$(BIN):$$PATH" "examples/$(NAME)/run"

image: ## build the image with docker, podman or buildah (IMAGE=name:tag, BASE_IMAGE=another Python, PLATFORM=linux/amd64)
	@IMAGE="$(IMAGE)" BASE_IMAGE="$(BASE_IMAGE)" PLATFORM="$(PLATFORM)" tools/image.sh

setup: ## install the programs that the tests use (Debian, as root)
	@tools/setup.sh

kube: ## build the Kubernetes and the servers that the tests run, once (a quarter of an hour), into the user's cache folder
	@tools/kube.sh $(ARGS)

chart: ## copy the CRD into the Helm chart, render deploy/ from it, lint it
	@tools/kube.sh helm
	@tools/chart.sh

check: ## ruff, mypy and the layering test
	@tools/venv.sh dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pytest --quiet tests/test_layering.py

unit: ## the fast tests, in under a minute
	@tools/venv.sh dev
	$(BIN)/pytest --quiet --numprocesses=2 -m "not slow"

e2e: ## the image on a real node, brought up for it (as root; ARGS=-k… for some of the tests)
	@tools/setup.sh
	@tools/venv.sh dev
	@tools/kube.sh
	$(BIN)/pytest tests/e2e $(ARGS)

# Four workers for two cores, since most tests wait: tests/groups.py says what stays together. What measures how soon
# Mailport answers has the machine to itself afterwards, and so has what failed, once more.
test: ## setup, check and every test, several at a time (WORKERS=0: one after the other)
	@$(MAKE) --no-print-directory setup
	@$(MAKE) --no-print-directory check
	@tools/suites.sh
	@$(MAKE) --no-print-directory kube
	tools/tests.sh -m "not alone" --numprocesses=$(WORKERS) --no-loadscope-reorder --max-worker-restart=0 --durations=20
	tools/tests.sh -m alone

bench: ## Mailport beside others, in front of next hops, and with checks; 25 minutes (ARGS=--quick: 6; ARGS="--only NAME …")
	@tools/setup.sh bench
	@tools/venv.sh dev
	@tools/kube.sh smtp-load go-smtp-sink
	$(BIN)/python tests/bench/run.py $(ARGS)
	$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python tests/bench/next_hops.py $(ARGS))
	$(if $(filter-out --quick,$(ARGS)),,$(BIN)/python -m tests.bench.run_checks $(ARGS))

bench-operator: ## the operator with 500 gateways on a real API server (ARGS=--quick for a first look, in ten minutes)
	@tools/venv.sh dev
	@tools/kube.sh
	$(BIN)/python -m tests.bench.run_operator $(ARGS)

# Locked on the oldest Python that we support: what newer ones need is a subset, never more.
COMPILE = CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/pip-compile --quiet --strip-extras --generate-hashes --allow-unsafe \
	--no-emit-index-url --no-emit-find-links --no-emit-trusted-host --no-emit-options
lock: ## renew requirements/*.txt (ARGS=--upgrade for newer versions)
	@tools/venv.sh dev
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11) and "lock with Python 3.11: make lock PYTHON=python3.11, in a fresh clone")'
	$(COMPILE) $(ARGS) --all-extras -o requirements/runtime.txt pyproject.toml
	$(COMPILE) $(ARGS) -o requirements/build.txt requirements/build.in
	$(COMPILE) $(ARGS) -o requirements/dev.txt requirements/dev.in
	$(COMPILE) $(ARGS) -o tools/moto/requirements.txt tools/moto/requirements.in
