#!/usr/bin/env bash
# Run the property tests with fresh seeds, again and again, until the time is over or one fails.
#
#   scripts/fuzz.sh [SECONDS] [FILES]     300 seconds by default, and all property tests; what has begun is finished
#
# A failure is printed with the line that reproduces it, `@reproduce_failure(...)`; the exit code is then 1.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
seconds=${1:-300}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "fuzz: SECONDS is a whole number, not '$seconds'" >&2; exit 2; }
files=("${@:2}")
((${#files[@]})) || mapfile -t files < <(grep -rlE "^from hypothesis import .*given" tests)
python=.venv/bin/python
[[ -x $python ]] || python=python3 # an environment that is active already
# Hypothesis draws new seeds in each pass. Failures of earlier runs are kept in .hypothesis and tried first.
passes=0
while ((SECONDS < seconds || passes == 0)); do
  "$python" -m pytest -m hypothesis --hypothesis-profile=fuzz "${files[@]}" || exit 1
  passes=$((passes + 1))
done
echo "fuzz: no property test failed in $passes passes with fresh seeds, $SECONDS s"
