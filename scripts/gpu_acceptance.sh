#!/usr/bin/env bash
# Run on a machine with an NVIDIA GPU everything that needs one, and say PASS, FAIL or SKIP of each row.
#
#   scripts/gpu_acceptance.sh [--as-is] [FOLDER]        default: results/gpu-acceptance
#
# With --as-is the packages of $PYTHON are taken as they are, whatever their versions (each row's environment says
# them), and a row whose engine isn't installed is a SKIP: for a machine that no package can be brought to. Else an
# environment of its own is made in ~/.cache/densebench (some GB, once): the locked packages with TensorRT, and
# ONNX Runtime's CUDA build in place of the CPU one. Exits 0 when nothing failed, 1 when something did, 2 when there
# is no GPU or no environment could be made: then nothing was checked.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
as_is=
if [[ ${1-} == --as-is ]]; then
  as_is=yes
  shift
fi
out=${1:-results/gpu-acceptance}
lock=requirements-tensorrt.lock
venv=${XDG_CACHE_HOME:-$HOME/.cache}/densebench/gpu-acceptance
python=${PYTHON:-python3}
say() { echo "gpu_acceptance: $*" >&2; }
stop() {
  say "$*; nothing was checked"
  exit 2
}

if ! command -v nvidia-smi >/dev/null || ! nvidia-smi -L 2>/dev/null | grep -q '^GPU'; then
  stop "no NVIDIA GPU here (nvidia-smi lists none)"
fi
nvidia-smi -L
prepare() {
  [[ -f $lock ]] || stop "$lock is missing"
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' ||
    stop "Python 3.11, 3.12 or 3.13 is needed: name it with PYTHON=/path/to/python"

  stamp=$venv/.installed
  wanted=$(sha256sum "$lock" pyproject.toml)
  if [[ ! -f $stamp || $(<"$stamp") != "$wanted" ]]; then
    say "installing into $venv"
    rm -rf "$venv"
    "$python" -m venv "$venv" || stop "can't make a virtual environment: install python3-venv"
    pip=("$venv/bin/python" -m pip --quiet --disable-pip-version-check)
    "${pip[@]}" install --require-hashes -r "$lock" || stop "the packages of $lock can't be installed"
    version=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("onnxruntime"))')
    "${pip[@]}" uninstall --yes onnxruntime
    if ! "${pip[@]}" install --no-deps "onnxruntime-gpu==$version"; then
      say "no onnxruntime-gpu $version: its rows run without CUDA, and fail"
      "${pip[@]}" install --no-deps "onnxruntime==$version"
    fi
    "${pip[@]}" install --no-deps --no-build-isolation -e . || stop "densebench can't be installed"
    echo "$wanted" >"$stamp"
  fi
  python=$venv/bin/python
}
[[ -n $as_is ]] || prepare

"$python" -m densebench doctor
code=0
"$python" -m densebench run --suite scripts/gpu_acceptance.toml \
  --output-dir "$out" --log-dir "$out/tensorboard" || code=$?
((code < 2)) || {
  say "the sweep ended with exit code $code"
  exit 1
}
exec "$python" scripts/gpu_verdicts.py ${as_is:+--as-is} "$out"
