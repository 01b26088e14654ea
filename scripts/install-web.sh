#!/usr/bin/env bash
# Installs the page's pinned packages. Idempotent.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
web=$root/services/gateway/web
stamp=$web/node_modules/.trainyard-stamp
want=$(sha256sum <"$web/package-lock.json")
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && exit 0
# Not `npm ci`: it refuses a lock in which an optional package of another platform is absent.
(cd "$web" && npm install --no-save --no-audit --no-fund --loglevel=error)
printf '%s' "$want" >"$stamp"
