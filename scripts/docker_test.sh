#!/usr/bin/env bash
# Prove on a real engine what docs/docker.md says: one line for each check, and an end at the first that fails.
#
#   scripts/docker_test.sh        with DENSEBENCH_COMPOSE where `docker compose` is not the command
#
# Some minutes once the image is built. The image stays; containers, volume and files are removed. As root it also
# plays a user who isn't. Exits 0 when all passed, 1 when something did not, 2 when no engine answers.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD work=$(mktemp -d) checks=0
export COMPOSE_PROJECT_NAME=densebench-test DENSEBENCH_PORT=${DENSEBENCH_PORT:-6006}
export DENSEBENCH_PROFILER_PORT=${DENSEBENCH_PROFILER_PORT:-6007}
pass() { checks=$((checks + 1)); echo "PASS  $*"; }
skip() { echo "SKIP  $*"; }
fail() { echo "FAIL  $*"; exit 1; }

docker info >/dev/null 2>&1 || { echo "docker_test: no engine answers (docker info); nothing was checked" >&2; exit 2; }
if [[ -z ${DENSEBENCH_COMPOSE:-} ]] && ! docker compose version >/dev/null 2>&1; then
  export DENSEBENCH_COMPOSE=docker-compose
fi
read -ra compose <<<"${DENSEBENCH_COMPOSE:-docker compose}"
compose+=(-f docker-compose.yml)

caller=() uid=$(id -u)
if ((uid == 0)); then
  uid=12345
  socket=${DOCKER_HOST:-unix:///var/run/docker.sock}
  caller=(setpriv --reuid="$uid" --regid="$uid" --groups="$(stat -c %g "${socket#unix://}")" env HOME="$work")
fi
finish() {
  code=$?
  trap - EXIT
  if ((code)); then tail -n 20 "$work"/*.log 2>/dev/null || true; fi
  docker ps -aq --filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME" | xargs -r docker rm -f >/dev/null
  docker network rm ${COMPOSE_PROJECT_NAME}_default >/dev/null 2>&1 || true
  docker volume rm "densebench-$uid" >/dev/null 2>&1 || true
  rm -rf "$work"
  exit $code
}
trap finish EXIT

# --- the image
SECONDS=0
"${compose[@]}" build >"$work/build.log" 2>&1 || fail "build"
pass "build: $SECONDS s"
SECONDS=0
"${compose[@]}" build >"$work/build.log" 2>&1 || fail "second build"
((SECONDS < 60)) || fail "second build: $SECONDS s"
pass "second build: $SECONDS s"
size=$(docker image inspect --format '{{.Size}}' densebench:cpu)
pass "size: $((size / 1000000)) MB"
inside() { docker run --rm --network none --entrypoint sh "$@"; }
[[ $(inside densebench:cpu -c 'id -un') == densebench ]] || fail "the image's user is not densebench"
pass "the image's user is not root"
left=$(inside --user 0 densebench:cpu -c 'ls -A /root/.cache /home/densebench/.cache /var/lib/apt/lists /var/cache/apt/archives 2>/dev/null | grep -v -e : -e partial -e lock || true')
[[ -z ${left//$'\n'/} ]] || fail "caches in the image: $left"
pass "no cache is left in it"
[[ $(docker image inspect --format '{{index .Config.Labels "org.opencontainers.image.title"}}' densebench:cpu) == densebench ]] ||
  fail "labels"
docker image inspect --format '{{.Config.Healthcheck}}' densebench-viewer:cpu | grep -q /data/environment || fail "health check"
pass "labels, and a health check for the servers"
inside --user 23456:23456 densebench:cpu -c 'python -c "
import torch
print(torch.compile(lambda x: (x.sin() + 1).relu())(torch.zeros(3)).tolist())"' >"$work/compile.log" 2>&1 || fail "torch.compile"
grep -q '\[1.0, 1.0, 1.0\]' "$work/compile.log" || fail "torch.compile"
pass "torch.compile works in it, as any user"

# --- what is refused
here="$work/a folder"
mkdir "$here"
chmod 755 "$work"
chown -R "$uid" "$work"
# in a subshell of its own, whose place it takes, so that its signals reach the script
run() { cd "$here" && exec env --default-signal=INT "${caller[@]}" "$root/build_and_run.sh" --runtime docker "$@"; }
export DENSEBENCH_COMPOSE="${DENSEBENCH_COMPOSE:-docker compose}"
code=0
(run --output-dir "./my results" -- --recipes nonsense) >"$work/refused.log" 2>&1 || code=$?
((code == 2)) || fail "exit code $code for a recipe that does not exist"
[[ -z $(ls -A "$here") ]] || fail "a refused run left $(ls -A "$here")"
pass "the sweep's exit code is passed on, and a refused run leaves nothing"
if docker info --format '{{json .Runtimes}}' | grep -q '"nvidia"' || command -v nvidia-ctk >/dev/null; then
  skip "the NVIDIA container toolkit is here"
else
  code=0
  said=$(run --gpu-enabled true 2>&1) || code=$?
  [[ $code == 2 && $said == *nvidia-container-toolkit* && $(wc -l <<<"$said") == 1 ]] || fail "GPU without toolkit: $said"
  pass "a GPU without the toolkit: one line"
fi

# --- one sweep, killed, interrupted, and gone on with
cat >"$here/my suite.toml" <<'T'
recipes = ["baseline", "openvino"]
weights = "digits"
data = "none"
image-size = 32
batch-sizes = [1, 2, 4]
focus-batch-sizes = []
rounds = 2
sample-time = 0.1
deploy-time = 0.1
ceilings = false
threads = 1
T
chown "$uid" "$here/my suite.toml"
flags=(--output-dir "./my results" --gpu-enabled false -- --suite "my suite.toml")
journal="$here/my results/journal.jsonl"
# what processes measured so far
measured() { { grep '"kind": "measure"' "$journal" 2>/dev/null || true; } | wc -l; }
project=(--filter "label=com.docker.compose.project=$COMPOSE_PROJECT_NAME")
container() { docker ps -q "${project[@]}" --filter label=com.docker.compose.service=benchmark-app; }

run "${flags[@]}" >"$work/first.log" 2>&1 &
pid=$!
while (($(measured) == 0)) && kill -0 $pid 2>/dev/null; do sleep 0.2; done
docker kill "$(container)" >/dev/null || fail "no container to kill: the sweep ended before"
code=0
wait $pid || code=$?
((code == 137)) || fail "exit code $code after the container was killed"
kept=$(measured)
((kept > 0)) || fail "no observation is left of the killed run"
pass "a killed container: exit code 137, and $kept observations are there"
cp "$journal" "$work/journal.killed"

run "${flags[@]}" --resume >"$work/second.log" 2>&1 &
pid=$!
while (($(measured) == kept)) && kill -0 $pid 2>/dev/null; do sleep 0.2; done
kill -INT $pid || fail "the resumed sweep ended before Ctrl-C"
code=0
wait $pid || code=$?
((code == 130)) || fail "exit code $code after Ctrl-C"
[[ -z $(container) ]] || fail "a container runs on after Ctrl-C"
interrupted=$(measured)
((interrupted > kept)) || fail "Ctrl-C lost observations"
pass "Ctrl-C: exit code 130, no container left, and $interrupted observations are there"
cp "$journal" "$work/journal.interrupted"

(run "${flags[@]}" --resume) >"$work/third.log" 2>&1 || fail "--resume: exit code $?"
for part in "$work"/journal.*; do
  cmp -s -n "$(stat -c %s "$part")" "$journal" "$part" || fail "--resume changed observations"
done
python3 - "$here/my results/benchmark_results.csv" <<'P' || fail "rows after --resume"
import csv, sys
rows = sorted((row["recipe"], row["batch_size"], row["status"]) for row in csv.DictReader(open(sys.argv[1])))
wanted = [(recipe, size, "ok") for recipe in ("baseline", "openvino") for size in "124"]
sys.exit(str(rows) if rows != wanted else 0)
P
pass "--resume in a new container: all 6 rows are ok, the first $interrupted observations as they were"
foreign=$(find "$here" ! -uid "$uid" -print -quit)
[[ -z $foreign ]] || fail "$foreign is not the caller's"
[[ -f "$here/my results/report.html" && -d "$here/logs/tensorboard/profile" ]] || fail "report or traces"
pass "results, report and logs are on the host, and user $uid's, who called"

# --- the viewers
grep -q "^TensorBoard http://127.0.0.1:$DENSEBENCH_PORT/$" "$work/third.log" || fail "TensorBoard's address"
grep -q "^Profiles    http://127.0.0.1:$DENSEBENCH_PROFILER_PORT/#pytorch_profiler$" "$work/third.log" || fail "the profile viewer's address"
for port in $DENSEBENCH_PORT $DENSEBENCH_PROFILER_PORT; do
  python3 -c 'import http.client, sys
asked = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=20)
asked.request("GET", "/data/plugins_listing")
sys.exit("pytorch_profiler" not in asked.getresponse().read().decode())' "$port" || fail "port $port"
done
pass "both viewers answer and are healthy"
listening=$(ss -Htln "( sport = :$DENSEBENCH_PORT or sport = :$DENSEBENCH_PROFILER_PORT )" 2>/dev/null | awk '{print $4}' || true)
if [[ -z $listening ]]; then
  skip "where they listen: ss is not here"
else
  ! grep -v '^127\.0\.0\.1:' <<<"$listening" || fail "they listen beyond 127.0.0.1"
  pass "they listen on 127.0.0.1 alone"
fi
chromium=$(command -v chromium || true)
if [[ -z $chromium ]] || ! .venv/bin/python -c 'import playwright' 2>/dev/null; then
  skip "pages in a browser: needs chromium, and playwright in .venv"
else
  .venv/bin/python - "$chromium" "$DENSEBENCH_PORT" "$DENSEBENCH_PROFILER_PORT" "${DENSEBENCH_SHOTS:-}" <<'P' >"$work/browser.log" 2>&1 || fail "pages in a browser"
import sys
from playwright.sync_api import sync_playwright
chromium, port, profiler_port, shots = sys.argv[1:]
with sync_playwright() as playwright:
    browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(f"http://127.0.0.1:{port}/")
    page.get_by_text("openvino").first.wait_for(timeout=120_000)
    if shots:
        page.screenshot(path=f"{shots}/tensorboard.png")
    page.goto(f"http://127.0.0.1:{profiler_port}/#pytorch_profiler")
    view = page.frame_locator("iframe").locator("#view[data-view=overview]:not([aria-busy])")
    view.wait_for(timeout=120_000)
    assert view.inner_text().strip()
    if shots:
        page.screenshot(path=f"{shots}/profiles.png")
P
  pass "both pages are drawn in a browser"
fi
echo "$checks passed, 0 failed"
