#!/usr/bin/env bash
# Set up, then run every check: format, lint and types first, since they take seconds; then the tests.
#
#   ./test.sh [ARGUMENTS OF pytest]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"
scripts/setup.sh requirements-dev.lock
bin=.venv/bin
$bin/ruff format --check --quiet .
$bin/ruff check --quiet .
$bin/mypy
exec $bin/python -m pytest "$@"
