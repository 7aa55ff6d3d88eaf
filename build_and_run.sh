#!/usr/bin/env bash
# Set everything up and run the benchmark.
#
#   ./build_and_run.sh [--output-dir DIR] [--gpu-enabled true|false] [--runtime auto|docker|local] [-- FLAGS OF run]
#
#   ./build_and_run.sh                    the whole sweep, into ./results
#   ./build_and_run.sh -- --quick         a first look, in minutes
#   ./build_and_run.sh -- --help          every flag of the sweep
#
# auto takes Docker where an engine answers and compose is there, else the virtual environment. In Docker both viewers
# stay up afterwards. DENSEBENCH_COMPOSE names another compose command.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
say() { echo "build_and_run: $*" >&2; }
stop() { say "$*"; exit 2; }

output_dir="" gpu_enabled="" runtime=auto
while (($#)); do
  case $1 in
    --output-dir | --gpu-enabled | --runtime)
      [[ -n ${2:-} ]] || stop "$1 needs a value"
      declare "$(tr - _ <<<"${1#--}")=$2"
      shift 2
      ;;
    --output-dir=* | --gpu-enabled=* | --runtime=*)
      [[ -n ${1#*=} ]] || stop "${1%%=*} needs a value"
      option=${1#--}
      declare "$(tr - _ <<<"${option%%=*}")=${option#*=}"
      shift
      ;;
    -h | --help) sed -n '2,11s/^# \{0,1\}//p' "${BASH_SOURCE[0]}"; exit 0 ;;
    --) shift; break ;;
    *) stop "unknown option '$1': flags of the sweep come after --, as in ./build_and_run.sh -- --quick" ;;
  esac
done
case $gpu_enabled in
  "") device=() ;;
  true) device=(--device cuda) ;;
  false) device=(--device cpu) ;;
  *) stop "--gpu-enabled is true or false (got '$gpu_enabled')" ;;
esac

# What keeps Docker from being used, in a line; nothing where it can be.
without_docker() {
  command -v docker >/dev/null || { echo "docker is not installed"; return; }
  if [[ -z $(docker info --format '{{.ServerVersion}}' 2>/dev/null) ]]; then
    echo "no engine answers: $(docker info --format '{{.ServerVersion}}' 2>&1 >/dev/null | grep . | tail -n 1)"
  elif [[ -z ${DENSEBENCH_COMPOSE:-} ]] && ! docker compose version >/dev/null 2>&1 &&
    ! command -v docker-compose >/dev/null; then
    echo "compose is missing: install docker-compose-plugin or docker-compose"
  fi
}

case $runtime in
  local) ;;
  auto | docker)
    reason=$(without_docker)
    if [[ -z $reason ]]; then
      [[ $runtime == docker ]] || say "docker runtime (an engine answers)"
      runtime=docker
    elif [[ $runtime == docker ]]; then
      stop "--runtime docker: $reason (or use --runtime local)"
    else
      say "local runtime, the virtual environment in $root/.venv ($reason)"
      runtime=local
    fi
    ;;
  *) stop "--runtime is auto, docker or local (got '$runtime')" ;;
esac
if [[ $runtime == local ]]; then
  "$root/scripts/setup.sh" requirements.lock
  exec "$root/.venv/bin/densebench" run ${output_dir:+--output-dir "$output_dir"} "${device[@]}" "$@"
fi

if [[ -n ${DENSEBENCH_COMPOSE:-} ]]; then
  read -ra compose <<<"$DENSEBENCH_COMPOSE"
elif docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
else
  compose=(docker-compose)
fi
compose+=(-f docker-compose.yml)
if [[ $gpu_enabled == true ]]; then
  docker info --format '{{json .Runtimes}}' | grep -q '"nvidia"' || command -v nvidia-ctk >/dev/null ||
    stop "--gpu-enabled true: install the package nvidia-container-toolkit, run 'nvidia-ctk runtime configure" \
      "--runtime=docker' and restart Docker (or use --runtime local)"
  compose+=(-f docker-compose.gpu.yml)
fi

# Where the sweep's own flags name a place on this machine, the container gets that place.
absolute() { realpath -m -- "$1"; }
results=$(absolute "${output_dir:-results}") log_dir=$(absolute logs/tensorboard)
flags=() mounts=() only_told=""
while (($#)); do
  name=${1%%=*}
  case $name in
    --output-dir) stop "give --output-dir before the --" ;;
    --log-dir | --weights | --data | --suite | --model) ;;
    --help | --dry-run) only_told=yes flags+=("$1"); shift; continue ;;
    *) flags+=("$1"); shift; continue ;;
  esac
  if [[ $1 == *=* ]]; then
    value=${1#*=}
    shift
  else
    (($# > 1)) || stop "$name needs a value"
    value=$2
    shift 2
  fi
  if [[ $name == --log-dir ]]; then
    log_dir=$(absolute "$value")
  elif [[ -f $value || ($name == --data && -d $value && ! $value =~ ^(auto|imagenette|digits|none)$) ]]; then
    path=$(absolute "$value") inside=/inputs/${name#--}/$(basename "$value")
    [[ $path != *:* ]] || stop "$name $path: a path with a colon can't be handed to a container: rename it"
    mounted=$path at=$inside
    # an ONNX model's weights may be in a file beside it
    if [[ $path == *.onnx ]]; then mounted=$(dirname "$path") at=$(dirname "$inside"); fi
    mounts+=(-v "$mounted:$at:ro")
    flags+=("$name" "$inside")
  else
    flags+=("$name" "$value")
  fi
done
if [[ $log_dir/ == "$results"/* ]]; then
  inside=results${log_dir#"$results"}
else
  inside=logs/$(basename "$log_dir")
fi
logs=$(dirname "$log_dir") made=()
unmake() { ((${#made[@]} == 0)) || rmdir "${made[@]}" 2>/dev/null || true; } # what stays empty
trap unmake EXIT
for folder in "$results" "$logs"; do
  for ((above = 0; ; above++)); do
    [[ ! -d $folder ]] || break
    made=("${made[@]:0:above}" "$folder" "${made[@]:above}")
    folder=$(dirname "$folder")
  done
done
mkdir -p "$results" "$logs" 2>/dev/null || stop "$results and $logs can't be made: name other folders"

uid=$(id -u) gid=$(id -g)
# a rootless engine shows its own user as root inside
! docker info --format '{{.SecurityOptions}}' | grep -q rootless || uid=0 gid=0
# without a bridge the containers share this machine's network, where the viewers are for this machine alone
docker network inspect bridge >/dev/null 2>&1 || export DENSEBENCH_BIND=127.0.0.1
[[ ! -t 1 ]] || export DENSEBENCH_TTY=1 COLUMNS=${COLUMNS:-$(tput cols)}
export DENSEBENCH_UID=$uid DENSEBENCH_GID=$gid COMPOSE_PROJECT_NAME=${COMPOSE_PROJECT_NAME:-densebench}
export DENSEBENCH_RESULTS=$results DENSEBENCH_LOGS=$logs DENSEBENCH_LOG_NAME=${log_dir##*/}
port=${DENSEBENCH_PORT:-6006} profiler_port=${DENSEBENCH_PROFILER_PORT:-6007}
cd "$root" # compose reads its files here

port_is_free() {
  ! (exec 3<>"/dev/tcp/127.0.0.1/$2") 2>/dev/null ||
    stop "port $2 is taken, so its viewer could not start after the sweep: name another with $1"
}
ports_are_free() {
  [[ $port != "$profiler_port" ]] || stop "DENSEBENCH_PORT and DENSEBENCH_PROFILER_PORT are both $port: name two"
  port_is_free DENSEBENCH_PORT "$port"
  port_is_free DENSEBENCH_PROFILER_PORT "$profiler_port"
}
# those of the run before stay up until the image is there
[[ -n $only_told || -n $("${compose[@]}" ps -q tensorboard profiler 2>/dev/null) ]] || ports_are_free
"${compose[@]}" build >&2 || stop "the image was not built: see above"
if [[ -z $only_told ]]; then
  # a server beside the sweep would be in its figures
  "${compose[@]}" rm -s -f tensorboard profiler >/dev/null 2>&1 || true
  ports_are_free
fi

container=densebench-run-$$ interrupted=""
# shellcheck disable=SC2329 # by the trap
interrupt() {
  trap '' INT TERM HUP
  interrupted=yes
  say "stopping; finished rows are kept"
  docker stop -t 60 "$container" >/dev/null 2>&1 || true
}
trap interrupt INT TERM HUP
trap 'docker rm -f "$container" >/dev/null 2>&1 || true; unmake' EXIT
"${compose[@]}" run -d --name "$container" "${mounts[@]}" benchmark-app \
  --output-dir results --log-dir "$inside" "${device[@]}" "${flags[@]}" >/dev/null || {
  [[ -z $interrupted ]] || exit 130
  stop "the container did not start: see above"
}
# in a session of its own, which Ctrl-C in a terminal does not reach
setsid docker logs --follow "$container" &
# a signal ends the first wait; what the run says while it stops still comes
wait $! || wait $! || true
code=$(docker wait "$container") || code=1
trap - INT TERM HUP
[[ -z $interrupted ]] || exit 130
if [[ -n $only_told ]] || ((code > 1)); then
  exit "$code"
fi
[[ -d $log_dir ]] || exit "$code" # it failed before there was anything to look at

"${compose[@]}" up -d --no-build tensorboard profiler >&2 || {
  say "the viewers did not start, the results are there; DENSEBENCH_PORT and DENSEBENCH_PROFILER_PORT name other ports"
  exit "$code"
}
# shellcheck disable=SC2046 # two ids
health() { docker inspect --format '{{.State.Health.Status}}' $("${compose[@]}" ps -q tensorboard profiler); }
for _ in $(seq 90); do
  [[ $(health) == *starting* ]] || break
  sleep 2
done
[[ $(health) == $'healthy\nhealthy' ]] || {
  say "a viewer does not answer, the results are there: see what it says with docker logs"
  exit "$code"
}
echo "TensorBoard http://127.0.0.1:$port/"
echo "Profiles    http://127.0.0.1:$profiler_port/#pytorch_profiler"
say "both stay up; to stop them: docker rm -f $("${compose[@]}" ps -q tensorboard profiler | cut -c1-12 | xargs)"
exit "$code"
