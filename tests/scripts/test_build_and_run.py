"""The one command of the README: its arguments, and which runtime it takes, with stand-ins for what it calls."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPOSE = ("docker-compose.yml", "docker-compose.gpu.yml")

# Answers as an engine does, and notes what it is asked. A run leaves the marker that the real one leaves: its logs.
DOCKER = r"""#!/usr/bin/env bash
printf '%s\n' "$*" >>"$ASKED"
case "$*" in
  "info --format {{.ServerVersion}}")
    [[ -z $NO_ENGINE ]] || { echo "no daemon at the socket" >&2; exit 1; }
    echo 1
    ;;
  "info --format {{json .Runtimes}}") echo "{\"runc\":{}$TOOLKIT}" ;;
  "network inspect bridge") exit "${NO_BRIDGE:-0}" ;;
  *" run -d "*)
    env | grep ^DENSEBENCH_ | sort >>"$ASKED"
    [[ -n $NO_LOGS ]] || mkdir -p "$DENSEBENCH_LOGS/$DENSEBENCH_LOG_NAME"
    [[ -n $NO_LOGS ]] || touch "$DENSEBENCH_RESULTS/journal.jsonl"
    ;;
  "wait "*) echo "$SWEEP" ;;
  *" up "*) touch "$ASKED.up" ;;
  *" rm -s "*) rm -f "$ASKED.up" ;;
  *" ps -q "*) [[ ! -e $ASKED.up ]] || { echo one; echo two; } ;;
  *" build") exit "${BUILD:-0}" ;;
  inspect*) echo healthy; echo healthy ;;
esac
"""


@dataclass(frozen=True)
class Done:
    """What a call came to."""

    code: int
    out: str
    err: str
    asked: list[str]

    def sweep(self) -> str:
        """The line that started the sweep's container."""
        return next(line for line in self.asked if " run -d " in line)


@dataclass(frozen=True)
class Place:
    """A copy of the script beside stand-ins for everything that it starts, and a folder to call it from."""

    root: Path
    folder: Path

    def run(self, *arguments: str, **variables: str) -> Done:
        """Call it from the folder."""
        asked = self.root / "asked"
        asked.unlink(missing_ok=True)  # what is up stays up
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("DENSEBENCH_", "DOCKER_"))
        }
        own = {"PATH": f"{self.root / 'bin'}:{kept['PATH']}", "ASKED": str(asked), "SWEEP": "0"}
        unset = dict.fromkeys(("NO_ENGINE", "TOOLKIT", "NO_LOGS"), "")
        done = subprocess.run(
            [self.root / "build_and_run.sh", *arguments],
            cwd=self.folder,
            env={**kept, **unset, **own, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        lines = asked.read_text().splitlines() if asked.exists() else []
        return Done(done.returncode, done.stdout, done.stderr, lines)


def script(path: Path, text: str) -> None:
    """An executable file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Folders with a space in their names."""
    root, folder = tmp_path / "a checkout", tmp_path / "a folder"
    for name in ("build_and_run.sh", *COMPOSE):
        (root / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    script(root / "scripts" / "setup.sh", "#!/bin/sh\necho setup $*\n")
    script(root / ".venv" / "bin" / "densebench", '#!/bin/sh\necho "$PWD: $*"\nexit 7\n')
    script(root / "bin" / "docker", DOCKER)
    folder.mkdir()
    return Place(root, folder)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--quick"], "unknown option '--quick': flags of the sweep come after --"),
        (["--output-dir"], "--output-dir needs a value"),
        (["--output-dir="], "--output-dir needs a value"),
        (["--runtime", ""], "--runtime needs a value"),
        (["--runtime", "podman"], "--runtime is auto, docker or local (got 'podman')"),
        (["--gpu-enabled=yes"], "--gpu-enabled is true or false (got 'yes')"),
        (["--runtime=docker", "--", "--output-dir", "x"], "give --output-dir before the --"),
        (["--runtime=docker", "--", "--weights"], "--weights needs a value"),
    ],
)
def test_a_wrong_argument_is_one_line(place: Place, arguments: list[str], said: str) -> None:
    """With exit code 2, before anything is built or written."""
    done = place.run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"build_and_run: {said}")
    assert done.err.count("\n") == 1
    assert not any("build" in line or "run" in line for line in done.asked)
    assert list(place.folder.iterdir()) == []


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"NO_ENGINE": "1"}, "no engine answers: no daemon at the socket"),
        ({"DOCKER_MISSING": "1"}, "docker is not installed"),
    ],
)
def test_without_an_engine_auto_is_local_and_says_why(
    place: Place, variables: dict[str, str], why: str
) -> None:
    """The virtual environment runs the sweep from the caller's folder; its exit code is passed on."""
    if "DOCKER_MISSING" in variables:
        tools = place.root / "tools"
        tools.mkdir()
        for name in ("bash", "sh", "env", "dirname", "tr", "sed"):
            (tools / name).symlink_to(str(shutil.which(name)))
        variables = {"PATH": str(tools)}
    done = place.run("--gpu-enabled=false", "--", "--quick", **variables)
    assert done.code == 7
    assert (
        done.err == f"build_and_run: local runtime, the virtual environment in {place.root}/.venv ({why})\n"
    )
    assert done.out.splitlines() == [
        "setup requirements.lock",
        f"{place.folder}: run --device cpu --quick",
    ]


def test_docker_asked_for_without_an_engine_is_one_line(place: Place) -> None:
    """No silent change to another runtime."""
    done = place.run("--runtime", "docker", NO_ENGINE="1")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "build_and_run: --runtime docker: no engine answers: no daemon at the socket (or use --runtime local)\n"
    )


@pytest.mark.skipif(shutil.which("nvidia-ctk") is not None, reason="the NVIDIA container toolkit is here")
def test_a_gpu_without_the_toolkit_names_what_to_install(place: Place) -> None:
    """In one line; nothing is built."""
    done = place.run("--runtime", "docker", "--gpu-enabled", "true")
    assert (done.code, done.out) == (2, "")
    assert "install the package nvidia-container-toolkit" in done.err
    assert done.err.count("\n") == 1
    assert not any("build" in line for line in done.asked)


def test_a_gpu_with_the_toolkit_takes_the_second_file(place: Place) -> None:
    """And asks the sweep for CUDA."""
    done = place.run("--gpu-enabled", "true", TOOLKIT=',"nvidia":{}')
    assert done.code == 0, done.err
    assert " -f docker-compose.yml -f docker-compose.gpu.yml run " in done.sweep()
    assert done.sweep().endswith(" --output-dir results --log-dir logs/tensorboard --device cuda")


def test_the_sweep_runs_on_the_callers_folders(place: Place) -> None:
    """Relative ones and ones with spaces, as the caller; then both viewers are up and their addresses said."""
    done = place.run("--output-dir", "./my results", "--", "--quick", "--log-dir=my logs/tb", SWEEP="1")
    assert done.code == 1, done.err
    assert "build_and_run: docker runtime (an engine answers)" in done.err
    assert done.sweep().endswith("benchmark-app --output-dir results --log-dir logs/tb --quick")
    assert f"DENSEBENCH_RESULTS={place.folder}/my results" in done.asked
    assert f"DENSEBENCH_LOGS={place.folder}/my logs" in done.asked
    assert f"DENSEBENCH_UID={os.getuid()}" in done.asked
    assert (place.folder / "my results").is_dir()
    order = [
        line.split("docker-compose.yml ")[-1].split()[0]
        for line in done.asked
        if line.startswith("compose -f")
    ]
    assert order[:5] == ["ps", "build", "rm", "run", "up"]
    assert done.out.splitlines() == [
        "TensorBoard http://127.0.0.1:6006/",
        "Profiles    http://127.0.0.1:6007/#pytorch_profiler",
    ]


def test_logs_inside_the_results_stay_there(place: Place) -> None:
    """The container sees one folder, not the same one twice."""
    done = place.run("--output-dir", "out", "--", "--log-dir", "out/tensorboard")
    assert done.sweep().endswith("benchmark-app --output-dir results --log-dir results/tensorboard")


def test_files_that_the_sweep_reads_are_handed_over(place: Place) -> None:
    """Read-only; words that are no files stay words."""
    (place.folder / "my weights.safetensors").touch()
    (place.folder / "digits").mkdir()
    flags = ["--weights", "my weights.safetensors", "--data=digits", "--model", "resnet18"]
    done = place.run("--runtime=docker", "--", *flags)
    inside = "/inputs/weights/my weights.safetensors"
    assert f" -v {place.folder}/my weights.safetensors:{inside}:ro benchmark-app " in done.sweep()
    assert done.sweep().endswith(f" --weights {inside} --data digits --model resnet18")


def test_an_onnx_model_comes_with_what_lies_beside_it(place: Place) -> None:
    """PyTorch's exporter writes the weights into `my.onnx.data`."""
    (place.folder / "models").mkdir()
    for name in ("my.onnx", "my.onnx.data"):
        (place.folder / "models" / name).touch()
    done = place.run("--runtime=docker", "--", "--model", "models/my.onnx")
    assert f" -v {place.folder}/models:/inputs/model:ro benchmark-app " in done.sweep()
    assert done.sweep().endswith(" --model /inputs/model/my.onnx")


def test_a_refused_sweep_leaves_no_folder_and_no_viewer(place: Place) -> None:
    """Its exit code is passed on."""
    done = place.run(SWEEP="2", NO_LOGS="1")
    assert (done.code, done.out) == (2, "")
    assert list(place.folder.iterdir()) == []
    assert not any(" up " in line for line in done.asked)


@pytest.mark.parametrize("flag", ["--help", "--dry-run"])
def test_what_only_tells_leaves_no_folder_and_the_viewers_alone(place: Place, flag: str) -> None:
    """They may be up from the run before; a taken port is of no concern."""
    (place.folder / "logs/tensorboard").mkdir(parents=True)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        done = place.run("--output-dir", "new/one", "--", flag, DENSEBENCH_PORT=port, NO_LOGS="1")
    assert (done.code, done.out) == (0, "")
    assert done.sweep().endswith(f" {flag}")
    assert not any(" rm -s " in line or " up " in line for line in done.asked)
    assert not (place.folder / "new").exists()
    place.run("--output-dir", "new", "--", flag, "--log-dir", "new/x/tb", NO_LOGS="1")
    assert not (place.folder / "new").exists()


def test_viewers_of_the_run_before_stay_up_where_the_image_fails(place: Place) -> None:
    """They hold the ports until there is a sweep to make way for; nothing is left, and it is said in a line."""
    assert place.run("--runtime=docker").code == 0
    failed = place.run("--runtime=docker", "--output-dir=other", BUILD="1")
    assert (failed.code, failed.err) == (2, "build_and_run: the image was not built: see above\n")
    assert not any(" rm -s " in line for line in failed.asked)
    assert not (place.folder / "other").exists()
    again = place.run("--runtime=docker")
    assert again.code == 0
    assert any(" rm -s " in line for line in again.asked)


def test_two_viewers_need_two_ports(place: Place) -> None:
    """Nothing listens yet, so neither is taken."""
    done = place.run("--runtime=docker", DENSEBENCH_PORT="6007")
    assert done.code == 2
    assert "DENSEBENCH_PORT and DENSEBENCH_PROFILER_PORT are both 6007: name two" in done.err


@pytest.mark.parametrize("variable", ["DENSEBENCH_PORT", "DENSEBENCH_PROFILER_PORT"])
def test_a_port_that_is_taken_is_told_before_the_sweep(place: Place, variable: str) -> None:
    """Not after its 40 minutes; nothing is built or left."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = place.run("--runtime=docker", **{variable: str(port)})
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        f"build_and_run: port {port} is taken, so its viewer could not start after the sweep: "
        f"name another with {variable}\n"
    )
    assert list(place.folder.iterdir()) == []
    assert not any("build" in line or " run " in line for line in done.asked)


def test_without_a_bridge_the_servers_listen_here_alone(place: Place) -> None:
    """Such containers are on this machine's own network."""
    assert "DENSEBENCH_BIND=127.0.0.1" in place.run(NO_BRIDGE="1").asked
    assert not any(line.startswith("DENSEBENCH_BIND") for line in place.run().asked)


def test_another_compose_command_is_used_from_the_checkout(place: Place) -> None:
    """As it stands in the variable, options included."""
    script(place.root / "mine.sh", '#!/bin/sh\nshift\nexec docker compose "$@"\n')
    done = place.run("--runtime=docker", DENSEBENCH_COMPOSE="./mine.sh now")
    assert done.code == 0, done.err
    assert done.sweep().startswith("compose -f docker-compose.yml run -d")
