#!/usr/bin/env bash
# Set everything up and run the benchmark.
#
#   ./build_and_run.sh [--output-dir DIR] [--gpu-enabled true|false] [--runtime auto|docker|local] [-- FLAGS OF run]
#
#   ./build_and_run.sh                    the whole sweep, into ./results
#   ./build_and_run.sh -- --quick         a first look, in minutes
#   ./build_and_run.sh -- --help          every flag of the sweep
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
stop() { echo "build_and_run: $*" >&2; exit 2; }

output_dir=results gpu_enabled="" runtime=auto
while (($#)); do
  case $1 in
    --output-dir | --gpu-enabled | --runtime)
      (($# > 1)) || stop "$1 needs a value"
      declare "$(tr - _ <<<"${1#--}")=$2"
      shift 2
      ;;
    --output-dir=* | --gpu-enabled=* | --runtime=*)
      option=${1#--}
      declare "$(tr - _ <<<"${option%%=*}")=${option#*=}"
      shift
      ;;
    -h | --help) sed -n '2,8s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --) shift; break ;;
    *) stop "unknown option '$1': flags of the sweep come after --, as in ./build_and_run.sh -- --quick" ;;
  esac
done

case $runtime in
  local) ;;
  auto) echo "build_and_run: local runtime (the virtual environment in $root/.venv)" >&2 ;;
  docker) stop "--runtime docker is not there yet: use --runtime local" ;;
  *) stop "--runtime is auto, docker or local (got '$runtime')" ;;
esac
case $gpu_enabled in
  "") device=() ;;
  true) device=(--device cuda) ;;
  false) device=(--device cpu) ;;
  *) stop "--gpu-enabled is true or false (got '$gpu_enabled')" ;;
esac

"$root/scripts/setup.sh" requirements.lock
exec "$root/.venv/bin/densebench" run --output-dir "$output_dir" "${device[@]}" "$@"
