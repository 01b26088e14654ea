#!/usr/bin/env bash
# Runs the tests, from the fastest to the slowest kind: scripts/test.sh all, or one of go, fuzz, python, processes, web, browser.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
python=$root/.venv/bin/python
export GOWORK=off GOFLAGS=-buildvcs=false PYTHONDONTWRITEBYTECODE=1

step() { printf '\n== %s\n' "$*"; }

# Beside the code and the whole suite in one process, with the race detector, on SQLite and PostgreSQL.
run_go() {
	step "go test -race"
	(cd services && "$root/scripts/with-postgres.sh" go test -race -timeout 15m ./...)
	(cd gen && go build ./...)
	step "hostile uploads, whose time and memory say nothing under the race detector"
	(cd services && go test -count=1 -timeout 10m -run Hostile ./converter/...)
}

# Every parser of what strangers send, for a moment; make fuzz does it for longer.
run_fuzz() {
	step "fuzzing"
	scripts/fuzz.sh 2s
}

# The trainer, the shards as TensorFlow reads them, localcloud as boto3 and the aws command see it.
run_python() {
	step "pytest"
	for folder in services/trainer services/converter/tests services/localcloud/tests; do
		(cd "$folder" && "$python" -m pytest -q -p no:cacheprovider -o tmp_path_retention_policy=none)
	done
}

# Six processes, kill -9, and the command line as a user runs it.
run_processes() {
	step "real processes"
	(cd services && "$root/scripts/with-postgres.sh" go test -count=1 -timeout 20m -tags integration ./trainyard/processes/...)
	(cd services && "$root/scripts/with-postgres.sh" go test -count=1 -timeout 5m -tags integration -run '^TestKill$' ./notification/)
}

run_web() {
	step "the page's units"
	scripts/install-web.sh
	(cd services/gateway/web && npm run --silent test)
}

# The page in Chromium, against a real suite.
run_browser() {
	step "the page in Chromium"
	scripts/install-web.sh
	scripts/install-chromium.sh
	(cd services && "$root/scripts/with-postgres.sh" go test -count=1 -timeout 10m -tags browser ./trainyard/processes/...)
}

case ${1:-all} in
all)
	run_go
	run_fuzz
	run_python
	run_web
	run_processes
	run_browser
	step "all passed"
	;;
go | fuzz | python | processes | web | browser) "run_$1" ;;
*)
	echo "usage: scripts/test.sh [all|go|fuzz|python|processes|web|browser]" >&2
	exit 2
	;;
esac
