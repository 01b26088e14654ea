#!/usr/bin/env bash
# Makes .venv-bench at the repository's root with the packages that the converter is measured against, apart from .venv so that no test
# comes to depend on them. It is made by .venv's python3.11. Does nothing when the environment is up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install-python.sh

lock=services/converter/bench/requirements.txt
stamp=.venv-bench/installed.sha256
wanted=$(cat "$lock" scripts/install-bench.sh | sha256sum | cut -d' ' -f1)

exec 9>.cache/install-bench.lock
flock 9
if [[ -x .venv-bench/bin/python && "$(cat "$stamp" 2>/dev/null)" == "$wanted" ]]; then exit 0; fi

echo 'making .venv-bench: TensorFlow is large, this takes a minute or two'
.venv/bin/python -m venv --clear .venv-bench
.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
echo "$wanted" >"$stamp"
