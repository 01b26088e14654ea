#!/usr/bin/env bash
# Makes .venv-bench and .venv-bench-mosaic at the repository's root with the packages that the converter is measured against, apart from
# .venv so that no test comes to depend on them. They are made by .venv's python3.11. Does nothing when they are up to date.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
scripts/install-python.sh

exec 9>.cache/install-bench.lock
flock 9

# install LOCK ENVIRONMENT NOTE
install() {
  local lock=services/converter/bench/$1 environment=$2 wanted
  wanted=$(cat "$lock" scripts/install-bench.sh | sha256sum | cut -d' ' -f1)
  if [[ -x $environment/bin/python && "$(cat "$environment/installed.sha256" 2>/dev/null)" == "$wanted" ]]; then return; fi
  echo "making $environment: $3"
  .venv/bin/python -m venv --clear "$environment"
  "$environment/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  echo "$wanted" >"$environment/installed.sha256"
}

install requirements.txt .venv-bench 'TensorFlow is large, this takes a minute or two'
install requirements-mosaic.txt .venv-bench-mosaic 'PyTorch comes with CUDA, 6 GB in all, this takes some minutes'
