# Trainyard. `make help` lists what there is. Everything needed is installed by scripts/, with pinned versions.
SHELL := /bin/bash
.DEFAULT_GOAL := help
export GOFLAGS := -buildvcs=false
export GOWORK := off

root := $(CURDIR)
venv := $(root)/.venv
python := $(venv)/bin/python
services := ingest converter training notification gateway localcloud
web := services/gateway/web

.PHONY: help
help: ## List the targets
	@grep -hE '^[a-z-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F':.*?## ' '{printf "  %-18s %s\n", $$1, $$2}'

.PHONY: web
web: ## Build the page into the gateway
	scripts/build-web.sh

.PHONY: build
build: web ## Build bin/trainyard and one binary a service
	mkdir -p bin
	cd services && go build -o ../bin/ ./trainyard $(foreach s,$(services),./$(s)/cmd/$(s)) ./trainyard/cmd/demo

.PHONY: python
python: ## Make .venv with the trainer's and the tests' packages
	scripts/install-python.sh

.PHONY: demo
demo: build python ## Real digits from a zip to a trained, downloaded and evaluated model; KEEP=1 leaves the suite running
	bin/demo $(if $(KEEP),--keep)

.PHONY: up
up: build python ## Run the suite
	bin/trainyard up

.PHONY: test
test: build python ## Everything: unit, in-process, real processes, browser
	scripts/test.sh all

.PHONY: test-fast
test-fast: ## The inner loop: Go tests without race detector, PostgreSQL or processes
	cd services && go test ./...

.PHONY: lint
lint: ## Lint contracts, Go, Python, the page and the tree
	scripts/lint.sh

.PHONY: generate
generate: ## Generate gen/ from proto/
	scripts/generate.sh

.PHONY: generate-check
generate-check: generate ## Fail when gen/ has drifted from proto/
	@git diff --exit-code --stat -- gen && test -z "$$(git status --porcelain -- gen)" || { echo "gen/ has drifted from proto/: run make generate and commit"; exit 1; }

.PHONY: fuzz
fuzz: ## Fuzz the parsers, 30 s each
	scripts/fuzz.sh 30s

.PHONY: bench-convert
bench-convert: ## Converting a gigabyte of images, against the least that each container asks for
	cd services && TMPDIR=$${BENCH_DIR:-/dev/shm} go test ./converter/convert -run '^$$' -bench "^BenchmarkConvert$$$$" -benchtime 1x -timeout 30m

.PHONY: bench-memory
bench-memory: ## Peak memory of converting 20 GB as zip and tar.gz; BENCH_GB for less; wants 45 GB of disk in BENCH_DIR
	cd services && TMPDIR=$${BENCH_DIR:-/tmp} go test ./converter/convert -run '^$$' -bench '^BenchmarkMemory$$' -benchtime 1x -timeout 60m

.PHONY: bench-tfrecord
bench-tfrecord: ## Writing and reading TFRecords in memory
	cd services && go test ./converter/tfrecord -run '^$$' -bench . -benchtime 2s

.PHONY: clean
clean: ## Remove what was built and installed here
	rm -rf bin .cache .venv $(web)/dist $(web)/node_modules scripts/tools/node_modules
