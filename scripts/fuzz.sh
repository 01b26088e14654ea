#!/usr/bin/env bash
# Fuzzes every fuzz target for the given time each. Minimizing what is merely interesting would take most of it.
set -euo pipefail
cd "$(dirname "$0")/../services"
export GOWORK=off
grep -rl --include='*_test.go' '^func Fuzz' . | xargs -n1 dirname | sort -u | while read -r package; do
	for target in $(grep -h '^func Fuzz' "$package"/*_test.go | sed -E 's/^func (Fuzz[A-Za-z0-9_]*).*/\1/'); do
		echo "== $package $target"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "${1:-30s}" -fuzzminimizetime 10x "$package"
	done
done
