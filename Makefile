# The commands of a developer; `make` prints them. All state is in .dev/ and below /var/tmp.

# It becomes the command that it is given, as sh need not: a signal that ends make reaches that.
SHELL := /bin/bash

# Both versions of CKAN, or the given ones: make test CKAN=2.11
CKAN ?=
VERSIONS = $(or $(CKAN),2.12 2.11)
SERVE ?= 1
ARGS ?=

.DEFAULT_GOAL := help
.PHONY: help demo docs test test-crash lint types bench bench-background services stop clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "CKAN=2.11 or CKAN=2.12 names one version, ARGS='...' goes to pytest, SERVE=0 ends the demo."
	@echo "QUICK=1 makes of a measurement a first look, ARGS=--write has its results written."

demo: ## play the whole scenario on a real site, and leave the site running
	@SERVE="$(SERVE)" demo/run.sh "$(or $(CKAN),2.12)"

test: ## run the tests on CKAN 2.12 and 2.11
	@dev/each.sh "$(VERSIONS)" dev/run.sh pytest $(ARGS)

test-crash: ## run the tests that kill and race, at full size
	@dev/each.sh "$(VERSIONS)" dev/run.sh pytest -m crash --full-size $(ARGS)

docs: ## build the documentation as a site in .dev/docs; warnings are errors
	@dev/venv.sh 2.12
	.dev/venv-2.12/bin/sphinx-build -q -W --keep-going docs .dev/docs

lint: ## check rules and format
	@dev/venv.sh 2.12
	.dev/venv-2.12/bin/ruff check .
	.dev/venv-2.12/bin/ruff format --check .

types: ## check the types against CKAN 2.12 and 2.11
	@dev/each.sh "$(VERSIONS)" dev/types.sh

bench: ## measure what the plugin costs, as ratios to stock CKAN
	@dev/run.sh "$(or $(CKAN),2.12)" python -m benchmarks $(ARGS)

bench-background: ## measure how fast background jobs are done, ours and those of other queues
	@dev/run.sh "$(or $(CKAN),2.12)" python -m benchmarks.background $(ARGS)

services: ## start PostgreSQL, Redis and Solr, and leave them running
	@dev/services.sh up

stop: ## stop the services
	@dev/services.sh down

clean: ## stop the services, and remove everything that was made
	@dev/clean.sh
