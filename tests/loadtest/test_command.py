"""`densebench load` on a real artifact, and what it refuses."""

from __future__ import annotations

import json
import signal
import sys
from dataclasses import replace
from importlib import util
from pathlib import Path

import pytest
from rich.console import Console

from densebench.artifacts import manifest
from densebench.cli import main
from densebench.errors import CellTimedOut, UsageError
from densebench.loadtest import parent, plan
from densebench.loadtest.asking import Asked, request
from densebench.loadtest.plan import Found, Run
from densebench.loadtest.printing import print_load
from densebench.processes import messages
from densebench.worker import jobs as worker
from tests.artifacts.test_manifest import CODE, make
from tests.e2e.program import Program, wait_for

pytest_plugins = ["tests.fixtures"]


@pytest.fixture(scope="module")
def squeezenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """SqueezeNet with random weights for 32 pixels, run by PyTorch as it is."""
    folder = tmp_path_factory.mktemp("models") / "eager"
    job = messages.Build(
        workload=messages.WorkloadJob(
            model="squeezenet1_1", weights="random", data="none", image_size=32, seed=0
        ),
        recipe="eager",
        named={},
        device="cpu",
        batch_sizes=(1,),
        folder=folder,
        threads=1,
    )
    worker.build(job, lambda stage: None)
    return folder


@pytest.mark.parametrize(
    ("scenario", "options"),
    [
        ("single-stream", ()),
        ("offline", ("--batch-size=4", "--threads=2", "--streams=2")),
        ("server", ("--target-p99-ms=0.001",)),
    ],
)
def test_a_saved_model_under_load(program: Program, squeezenet: Path, scenario, options):
    """Each scenario ends with a rate that fits its count and its time, and leaves nothing behind."""
    done = program.run(
        "load", squeezenet, f"--scenario={scenario}", "--seconds=0.1", "--threads=1", "--json", *options
    )
    assert done.code == 0, done.err
    said = json.loads(done.out)
    (run,) = said["runs"]
    assert run["samples_per_s"] * run["duration_s"] == pytest.approx(run["samples"])
    assert said["recipe"] == "eager"
    assert said["loadgen"]
    if scenario == "offline":
        assert (said["streams"], said["batch_size"], run["samples"] % 8) == (2, 4, 0)
        assert run["latency_p99_ms"] is None
    else:
        assert run["latency_p50_ms"] > 0
    if scenario == "server":  # no rate holds a bound of a microsecond, and none is made up
        assert run["samples"] >= 299
        assert said["answer"] is None
        assert run["latency_p99_ms"] > said["target_p99_ms"]
    else:
        assert said["answer"] == run
    assert not list(program.folder.iterdir())


@pytest.mark.usefixtures("own_key")
def test_the_answer_is_said_with_all_it_rests_on(tmp_path: Path, monkeypatch, capfd):
    """Rate, bound and p99 there; the count, the time, the seed, and what else used the machine."""
    alone = Run(samples=299, duration_s=1, samples_per_s=299, latency_p99_ms=4.0)
    server = Run(
        samples=1234,
        duration_s=10,
        samples_per_s=120.5,
        latency_p50_ms=7.0,
        latency_p99_ms=42.5,
        target_per_s=123.4,
        interference="other processes took 0.50 of 2 cores",
    )
    found = Found(runs=(alone, server), best=1, loadgen="6")
    monkeypatch.setattr("densebench.loadtest.printing.load_test", lambda *asked: found)
    print_load(Asked(make(tmp_path / "m"), "server", seed=7), Console(width=200), as_json=False)
    out = capfd.readouterr().out
    assert "123.4 queries/s is the highest rate found with p99 <= 50 ms: there p99 was 42.50 ms" in out
    for said in ("1234 in 10.0 s", "p90", "not known", "other processes took 0.50 of 2 cores", "7"):
        assert said in out


@pytest.mark.usefixtures("own_key")
def test_what_the_child_finds_wrong_reaches_the_user(program: Program, tmp_path: Path):
    """A model built for a device that isn't here is one line and exit code 2."""
    done = program.run("load", make(tmp_path / "model", device="cuda"), "--scenario=offline")
    assert done.code == 2, done.err
    assert "none here" in done.err.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scenario": "ofline"}, "--scenario is single-stream, offline or server .got 'ofline'"),
        ({"scenario": "server", "batch_size": 4}, "--batch-size is for --scenario offline"),
        ({"scenario": "offline", "target_p99_ms": 5.0}, "--target-p99-ms is for --scenario server"),
        ({"scenario": "single-stream", "streams": 2}, "--streams is for"),
        ({"scenario": "offline", "streams": 3, "threads": 2}, "--streams 3 needs as many threads"),
        ({"scenario": "offline", "seconds": 0.0}, "--seconds must be above 0"),
        ({"scenario": "server", "target_p99_ms": float("nan")}, "--target-p99-ms must be above 0"),
    ],
)
@pytest.mark.usefixtures("own_key")
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options, said):
    """The line names the option and what it is for."""
    with pytest.raises(UsageError, match=said):
        request(Asked(make(tmp_path / "model"), **options))


@pytest.mark.usefixtures("own_key")
def test_artifacts_that_must_not_be_loaded_are_refused(tmp_path: Path, monkeypatch):
    """What is no artifact, and code from elsewhere until it is trusted."""
    with pytest.raises(UsageError, match="is no artifact"):
        request(Asked(tmp_path, "offline"))
    foreign = make(tmp_path / "model", CODE)
    monkeypatch.setenv("DENSEBENCH_KEY_FILE", str(tmp_path / "another.key"))
    with pytest.raises(UsageError, match="see --trust"):
        request(Asked(foreign, "offline"))
    assert request(Asked(foreign, "offline", trust=True))[0].trust


@pytest.mark.usefixtures("own_key")
def test_a_fixed_batch_is_kept(tmp_path: Path):
    """A model that takes one batch size alone gets it offline, and is refused where queries are single images."""
    shape = {
        **json.loads((make(tmp_path / "any") / manifest.MANIFEST).read_text())["input"],
        "shape": (4, 3, 16, 16),
    }
    fixed = make(tmp_path / "fixed", input=shape)
    assert request(Asked(fixed, "offline"))[0].batch_size == 4
    with pytest.raises(UsageError, match="--batch-size 4"):
        request(Asked(fixed, "offline", batch_size=8))
    with pytest.raises(UsageError, match="batches of 4 images"):
        request(Asked(fixed, "single-stream"))


@pytest.mark.usefixtures("own_key")
def test_without_loadgen_it_says_what_to_install(tmp_path: Path, monkeypatch, capfd):
    """One line with the command, exit code 2."""
    monkeypatch.setattr("densebench.loadtest.asking.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "argv", ["densebench", "load", str(make(tmp_path / "m")), "--scenario=offline"])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capfd.readouterr().err.splitlines()
    assert end.value.code == 2
    assert len(said) == 1
    assert "pip install 'densebench[load]'" in said[0]
    assert util.find_spec("mlperf_loadgen"), "the other tests here need it"


def test_a_load_test_that_is_stuck_or_ended_leaves_nothing_behind(
    program: Program, squeezenet: Path, tmp_path: Path, monkeypatch
):
    """SIGTERM amid a run clears its folder away; a child that has gone silent is ended, and a line says so."""
    scratch = tmp_path / "tmp"
    scratch.mkdir()
    sent = replace(program, more=(("TMPDIR", str(scratch)),))
    with sent.started("load", squeezenet, "--scenario=single-stream", "--seconds=60") as process:
        wait_for(lambda: [*scratch.glob("densebench-load-*/output.log")], process)
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert process.returncode == 130
    assert [*scratch.iterdir()] == []
    monkeypatch.setattr(parent, "START_S", 0.2)
    monkeypatch.setattr(plan, "LONGER_S", 0.0)
    monkeypatch.setattr(plan, "TIMES", 0)
    with pytest.raises(CellTimedOut, match="said nothing for 0 s"):
        parent.load_test(*request(Asked(squeezenet, "single-stream")), lambda stage: None)
