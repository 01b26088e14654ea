#!/usr/bin/env bash
# Checks that the top level holds what the design allows, that locks name no registry's address, and that nothing large is tracked.
set -euo pipefail
cd "$(dirname "$0")/.."
bad=0
extra=$(git ls-files | cut -d/ -f1 | sort -u | grep -vxE '\..*|proto|services|gen|deploy|scripts|go\.work|go\.work\.sum|Makefile|README\.md|LICENSE' || true)
[ -z "$extra" ] || { printf 'the top level holds more than the design allows:\n%s\n' "$extra" >&2; bad=1; }
addresses=$(git ls-files -z -- '*package-lock.json' '*requirements*.txt' | xargs -0 grep -nE '"resolved"|^--(index-url|extra-index-url|find-links)|^[^#]*https?://.*\.(whl|tgz|tar\.gz)' | head -n 5 || true)
[ -z "$addresses" ] || { printf 'a lock file names an address:\n%s\n' "$addresses" >&2; bad=1; }
large=$(git ls-files -z | xargs -0 -I{} find {} -maxdepth 0 -size +1024k 2>/dev/null || true)
[ -z "$large" ] || { printf 'files of more than 1 MiB are tracked:\n%s\n' "$large" >&2; bad=1; }
exit $bad
