#!/usr/bin/env bash
# Makes .venv at the repository's root with everything both Python locks list, by python3.11.
# Does nothing when the environment is up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

locks=(services/trainer/requirements.txt scripts/requirements-dev.txt)
stamp=.venv/installed.sha256
wanted=$(cat "${locks[@]}" scripts/install-python.sh | sha256sum | cut -d' ' -f1)

up_to_date() { [[ -x .venv/bin/python && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]]; }
as_root() { if [[ $EUID -eq 0 ]]; then "$@"; else sudo "$@"; fi; }

# One at a time: several make targets may ask for the environment at once.
mkdir -p .cache
exec 9>.cache/install-python.lock
flock 9
if up_to_date; then exit 0; fi

# Debian splits venv's pip off into a package of its own, so a python3.11 may lack it.
find_python() {
  local candidate
  for candidate in python3.11 /usr/bin/python3.11; do
    if "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  return 1
}
if ! python=$(find_python); then
  echo 'installing python3.11-venv from the distribution'
  as_root apt-get update -qq
  as_root apt-get install -y -qq python3.11 python3.11-venv
  python=$(find_python)
fi

echo 'making .venv: TensorFlow is large, this takes a minute or two'
rm -f "$stamp"
if ! .venv/bin/python -c 'import pip, sys; assert sys.version_info[:2] == (3, 11)' 2>/dev/null; then
  "$python" -m venv --clear .venv
fi
requirements=()
for lock in "${locks[@]}"; do requirements+=(-r "$lock"); done
.venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes "${requirements[@]}"

# The trainer is imported from its folder, so that the environment never holds an old copy of it.
echo "$PWD/services/trainer" >.venv/lib/python3.11/site-packages/trainyard.pth
echo "$wanted" >"$stamp"
