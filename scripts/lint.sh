#!/usr/bin/env bash
# Lints contracts, Go, Python, the page and the tree. Prints what is wrong and how to mend it.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
cd "$root"
"$root/scripts/install-tools.sh"
"$root/scripts/install-python.sh"
"$root/scripts/install-web.sh"
export PATH=$root/.cache/bin:$root/scripts/tools/node_modules/.bin:$PATH GOWORK=off GOFLAGS=-buildvcs=false

echo "== contracts"
(cd proto && buf lint)
(cd proto && buf format --diff --exit-code --path trainyard --path tensorflow) || { echo "run in proto/: buf format -w --path trainyard"; exit 1; }
# Breaking changes are judged against the branch that this one will join.
if base=$(git merge-base HEAD origin/main 2>/dev/null) && git cat-file -e "$base:proto/buf.yaml" 2>/dev/null; then
	old=$(mktemp -d)
	trap 'rm -rf "$old"' EXIT
	git archive "$base" proto | tar -x -C "$old"
	(cd proto && buf breaking --against "$old/proto")
fi

echo "== Go"
unformatted=$(gofumpt -l services)
[ -z "$unformatted" ] || { printf 'run gofumpt -w on:\n%s\n' "$unformatted"; exit 1; }
(cd services && go vet ./... && go vet -tags integration,browser ./trainyard/... && staticcheck ./...)
scripts/check-imports.sh
(cd services && go mod tidy -diff >/dev/null) || { echo "services/go.mod is not tidy: run go mod tidy in services"; exit 1; }
(cd gen && go mod tidy -diff >/dev/null) || { echo "gen/go.mod is not tidy: run go mod tidy in gen"; exit 1; }

echo "== Python"
"$root/.venv/bin/ruff" check services scripts
"$root/.venv/bin/ruff" format --check services scripts

echo "== page"
(cd services/gateway/web && npm run --silent lint)

echo "== tree"
scripts/check-tree.sh
echo "lint: ok"
