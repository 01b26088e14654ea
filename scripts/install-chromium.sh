#!/usr/bin/env bash
# Installs Debian's Chromium, which the page's end-to-end test drives. Idempotent.
set -euo pipefail
[ -x /usr/bin/chromium ] && exit 0
apt-get update
DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends chromium
