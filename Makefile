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
	@grep -hE '^[a-z0-9-]+:.*?## ' $(MAKEFILE_LIST) | sort | awk -F':.*?## ' '{printf "  %-18s %s\n", $$1, $$2}'

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
demo: build python ## Real digits from a zip to a trained, downloaded and evaluated model; KEEP=1 leaves the suite running, SWEEP=1 adds a sweep
	bin/demo $(if $(KEEP),--keep) $(if $(SWEEP),--sweep)

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
bench-convert: bench-images bench-s3 bench-tables bench-peers ## All benchmarks of conversions, of a gigabyte each; BENCH_DIR says where

bench_dir = TMPDIR=$${BENCH_DIR:-/dev/shm}

.PHONY: bench-images
bench-images: ## Images in several containers, against the least that each asks for
	cd services && $(bench_dir) go test ./converter/convert -run '^$$' -bench '^BenchmarkConvert$$' -benchtime 1x -timeout 30m

.PHONY: bench-s3
bench-s3: ## By ranges from localcloud, against one plain download; through S3 and SQS, against the bare conversion
	cd services && $(bench_dir) go test ./converter -run '^$$' -bench '^BenchmarkS3$$' -benchtime 1x -timeout 30m

.PHONY: bench-tables
bench-tables: ## CSV, JSON lines and Parquet, against parsing only
	cd services && $(bench_dir) go test ./converter/convert -run '^$$' -bench '^BenchmarkTables$$' -benchtime 1x -timeout 30m

.PHONY: bench-peers
bench-peers: ## Images in a zip, against TensorFlow, tfrecord, webdataset, mosaicml-streaming and array_record
	scripts/install-bench.sh
	cd services && go build -o ../bin/convert-local ./converter/cmd/convert-local
	$(bench_dir) .venv-bench/bin/python services/converter/bench/peers.py bin/convert-local

.PHONY: bench-memory
bench-memory: ## Peak memory of converting 20 GB (BENCH_GB) of images by ranges; needs 45 GB of disk in BENCH_DIR or the system's folder
	cd services && TMPDIR=$${BENCH_DIR:-$${TMPDIR:-/tmp}} go test ./converter/convert -run '^$$' -bench '^BenchmarkMemory$$' -benchtime 1x -timeout 60m

.PHONY: bench-tfrecord
bench-tfrecord: ## Writing and reading TFRecords in memory
	cd services && go test ./converter/tfrecord -run '^$$' -bench . -benchtime 2s

.PHONY: clean
clean: ## Remove what was built and installed here
	rm -rf bin .cache .venv .venv-bench .venv-bench-mosaic $(web)/dist $(web)/node_modules scripts/tools/node_modules
