# Tripod's commands. Each one installs what it needs first (tools/bootstrap).

STACK ?= dev
PYTHON := .venv/bin/python
TYPED := $(wildcard __main__.py topology userdata components rehearsal operations app tools)
.DEFAULT_GOAL := help
.NOTPARALLEL:

.PHONY: help
help: ## List the commands
	@echo "Commands (STACK=dev unless another stack is named, as in: make rehearse STACK=prod):"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: rehearse
rehearse: ## Run a stack on this machine, with real hosts and an emulated AWS (root); DISTRIBUTION=ubuntu as on AWS; ARTIFACT=FILE
	@$(if $(DISTRIBUTION),TRIPOD_DISTRIBUTION=$(DISTRIBUTION)) tools/bootstrap rehearse
	@$(PYTHON) -m rehearsal up --stack $(STACK) $(if $(DISTRIBUTION),--distribution $(DISTRIBUTION)) \
		$(if $(ARTIFACT),--artifact "$(ARTIFACT)")

.PHONY: down
down: ## Take the rehearsal of a stack away
	@tools/bootstrap lint
	@$(PYTHON) -m rehearsal down --stack $(STACK)

.PHONY: test
test: ## Run the linters and every test this machine can run (rehearsal included, as root)
	@tools/bootstrap test
	@$(MAKE) --no-print-directory check
	@$(PYTHON) -m pytest --numprocesses=auto --maxprocesses=8 --dist=loadfile -m "not native and not rehearsal and not drill"
	@$(PYTHON) -m pytest -m "(native or rehearsal) and not drill"

.PHONY: drills
drills: ## Run the slow scenarios, too: every drill and its negative control on real hosts (root, about two hours)
	@tools/bootstrap drills
	@$(PYTHON) -m pytest -m drill

.PHONY: lint
lint: ## Check style, types and requirements
	@tools/bootstrap lint
	@$(MAKE) --no-print-directory check

.PHONY: check
check:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(PYTHON) -m mypy $(TYPED)

.PHONY: format
format: ## Bring every file into the one format
	@tools/bootstrap lint
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

.PHONY: docs
docs: ## Write the generated parts of the documentation anew
	@tools/bootstrap lint
	$(PYTHON) -m tools.document

.PHONY: benchmark
benchmark: ## Time the program with 3 and with 100 servers, and the plan of a restore
	@tools/bootstrap lint
	@$(PYTHON) -m tests.benchmark

.PHONY: requirements
requirements: ## Pin the newest allowed versions of the Python packages, with hashes
	@tools/bootstrap lint
	CUSTOM_COMPILE_COMMAND="make requirements" $(PYTHON) -m tools.pin $(UPGRADE)
