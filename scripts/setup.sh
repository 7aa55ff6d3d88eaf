#!/usr/bin/env bash
# The virtual environment `.venv` at the repository's root, from a hashed lock. Quick when nothing has changed.
#
#   scripts/setup.sh [requirements.lock|requirements-dev.lock|requirements-tensorrt.lock]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
lock=${1:-requirements.lock}
say() { echo "setup: $*" >&2; }

find_python() {
  local name
  for name in "${PYTHON:-python3.11}" python3.12 python3.13 python3; do
    if command -v "$name" >/dev/null &&
      "$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then
      echo "$name"
      return
    fi
  done
  say "Python 3.11, 3.12 or 3.13 is needed: install it, or name it with PYTHON=/path/to/python"
  exit 2
}

if [[ ! -x .venv/bin/python ]]; then
  python=$(find_python)
  say "making .venv with $("$python" --version)"
  rm -rf .venv
  "$python" -m venv .venv || { say "can't make a virtual environment: install python3-venv"; rm -rf .venv; exit 2; }
fi

# a stamp holds the hashes of what was installed last; the development lock contains the other one
wanted=$(sha256sum "$lock" pyproject.toml | cut -d' ' -f1 | tr '\n' ' ')$PWD
stamp=.venv/.installed-$(basename "$lock")
if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
  say "installing from $lock (some minutes the first time)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
  echo "$wanted" >"$stamp"
  if [[ $lock == requirements-dev.lock ]]; then
    echo "$(sha256sum requirements.lock pyproject.toml | cut -d' ' -f1 | tr '\n' ' ')$PWD" >.venv/.installed-requirements.lock
  fi
fi
