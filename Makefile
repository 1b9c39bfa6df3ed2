# Everything below works from a fresh checkout: what a target needs is set up first.

PYTHON ?= python3
ARGS ?=
FAULTS ?= 1000

VENV := .venv
TOX := $(VENV)/bin/tox
ENGINE := $(VENV)/bin/python tools/engine
READY := $(VENV)/.ready

# Interpreters that pyenv has installed but not activated belong to the test matrix too. At the end
# of PATH they shadow nothing.
empty :=
space := $(empty) $(empty)
PYENV_BINS := $(wildcard $(or $(PYENV_ROOT),$(HOME)/.pyenv)/versions/3.1[1-9]*/bin)
export PATH := $(PATH)$(if $(PYENV_BINS),:$(subst $(space),:,$(strip $(PYENV_BINS))))

.DEFAULT_GOAL := help
.PHONY: help demo test faults bench lint types docs picture engine engine-stop browser mutation

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' Makefile

demo: engine ## build and test examples/export-binaries for linux/amd64 and linux/arm64
	@$(ENGINE) images rust:alpine | tee $(VENV)/.images; \
	case "$$(tail -n 1 $(VENV)/.images)" in \
	"registry: yes") set -- ;; \
	"registry: no") \
		echo "demo: no image registry answers: the Dockerfile frontend inside BuildKit is used"; \
		set -- -o dockerbin_frontend=builtin ;; \
	*) exit 1 ;; \
	esac; \
	$(TOX) run -q -e demo -- "$$@" $(ARGS)

# The other engines are this project's own, and only root on Debian can start them. pytest's closing
# line comes last: -qq leaves out tox's.
test: engine browser ## run all tests, those with a real engine included
	$(TOX) run -m unit -- $(ARGS)
	$(TOX) run -e package,faults,browser,neighbours -- $(ARGS)
	$(TOX) run -e integration-main,coverage -- $(ARGS)
	@if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		$(TOX) -qq run -e integration-classic,integration-floor -- $(ARGS); \
	else \
		echo "test: only the engine at hand was tested; as root on Debian, an old one and its image store are too"; \
	fi

faults: $(READY) ## inject every fault often and print the table (make faults FAULTS=1000)
	$(TOX) run -e faults -- --faults $(FAULTS) -o faulthandler_timeout=7200 $(ARGS)

mutation: $(READY) ## change the code a little, and list what no test notices (make mutation ARGS=spec)
	$(TOX) run -q -e mutation -- $(ARGS)

bench: engine ## measure what the plugin costs (make bench ARGS="--quick P2")
	$(TOX) run -q -e bench -- $(ARGS)

lint: $(READY) ## check the style of code and prose
	$(TOX) run -q -e lint

types: $(READY) ## check the types
	$(TOX) run -q -e types

docs: $(READY) ## build the documentation into docs/_build/html
	$(TOX) run -q -e docs

picture: engine browser ## draw the documentation's pictures anew, from real runs
	@$(ENGINE) images rust:alpine
	$(TOX) run -q -e picture

engine: $(READY) ## start a Docker Engine for the tests, unless Docker is there already
	$(ENGINE) start

engine-stop: $(READY) ## stop what "make engine" started
	$(ENGINE) stop

browser: $(READY) ## have Chromium for the tests of the HTML report
	$(VENV)/bin/python tools/browser.py

# ensurepip is what Debian leaves out of its python3 package.
$(READY): Makefile
	@if ! $(PYTHON) -c 'import ensurepip, venv' 2>/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "make: installing python3 and python3-venv with apt-get"; \
			apt-get -qq update && \
			DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends \
				python3 python3-venv >/dev/null || exit 1; \
		else \
			echo "make: $(PYTHON) cannot make virtual environments: install Python 3.11 or newer with its venv module, or name one: make PYTHON=/path/to/python3" >&2; \
			exit 1; \
		fi; \
	fi
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is older than 3.11: name a newer one: make PYTHON=/path/to/python3" >&2; \
		exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install -q --disable-pip-version-check 'tox>=4.25' 'tox-uv>=1.25' uv
	@touch $@
