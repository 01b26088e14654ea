#!/usr/bin/env bash
# Builds the page into services/gateway/web/dist, which the gateway embeds. Does nothing while its sources are unchanged.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
web=$root/services/gateway/web
want=$(cd "$root" && find "$web" gen/ts -type f -not -path '*/node_modules/*' -not -path '*/dist/*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum)
stamp=$root/.cache/web.stamp
[ -f "$stamp" ] && [ "$(cat "$stamp")" = "$want" ] && [ -f "$web/dist/index.html" ] && exit 0
"$root/scripts/install-web.sh"
(cd "$web" && npm run --silent build)
mkdir -p "$root/.cache"
printf '%s' "$want" >"$stamp"
