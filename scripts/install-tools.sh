#!/usr/bin/env bash
# Builds the pinned Go tools into .cache/bin and installs the pinned Node tools (buf, openapi-typescript).
# Idempotent: does nothing while scripts/tools is unchanged.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
tools=$root/scripts/tools
bin=$root/.cache/bin
stamp=$root/.cache/tools.stamp
want=$(cat "$tools/go.mod" "$tools/go.sum" "$tools/package-lock.json" "$0" | sha256sum)
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -x "$tools/node_modules/.bin/buf" ] && exit 0
mkdir -p "$bin"
(cd "$tools" && GOWORK=off GOBIN=$bin go install tool)
# Not `npm ci`: it refuses a lock in which an optional package of another platform is absent.
(cd "$tools" && npm install --no-save --loglevel=error)
printf '%s' "$want" >"$stamp"
