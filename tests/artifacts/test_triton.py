"""A Triton model repository from an artifact: what Triton needs, whole or not at all."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from densebench import engines
from densebench.artifacts.folder import hash_files, new_folder, write_manifest
from densebench.artifacts.manifest import Manifest
from densebench.artifacts.triton import export_triton
from densebench.cli import main
from densebench.engines import eager, onnxruntime, openvino, tensorrt
from densebench.engines.base import Engine, Target, Triton
from densebench.errors import InputError, RefusedArtifact, UsageError
from densebench.model.adapter import served
from tests.factory import input_of
from tests.small import images, tiny_model, tiny_workload

pytestmark = pytest.mark.usefixtures("own_key")
pytest_plugins = ["tests.fixtures"]

ABLE = sorted({engine.name for engine in engines.catalogue().values() if engine.triton})


INPUT = input_of(16, 24)


def make(folder: Path, engine: Engine, content: Path | None = None, **changes: Any) -> Path:
    """An artifact whose files are words, under the names that the engine gives its own, or those of a folder."""
    with new_folder(folder) as part:
        for name in engine.triton.files if engine.triton else ("weights.bin",):
            words = b"content of " + name.encode()
            (part / name).write_bytes((content / name).read_bytes() if content else words)
        facts: dict[str, Any] = {
            "recipe": "bf16+some:precision=int8",
            "steps": engine.name,
            "engine": engine.name,
            "details": {"largest_batch": 16, "precision": "fp32", "provider": "auto"},
            "model": "tiny",
            "input": INPUT,
            "classes": ("cat", "dog"),
            "device": "cpu",
            "host_settings": {"threads": 2},
            "probe": {"seed": 1, "batch_size": 1, "outputs": ((0.1, 0.2),), "tolerance": 1e-4},
            "files": hash_files(part, ()),
            "contains_code": engine.contains_code,
            "facts": {
                "parameters": 3,
                "macs_g": 0.1,
                "zero_fraction": 0.0,
                "build_s": 1.5,
                "cold_start_s": None,
            },
            "source_weights_sha256": "0" * 64,
            "environment": {"cpu": "some"},
            "created": "2026-01-02T03:04:05+00:00",
        }
        write_manifest(part, Manifest.model_validate(facts | changes))
    return folder


def settings(folder: Path) -> dict[str, str]:
    """The fields of `config.pbtxt`, one a line."""
    lines = (folder / "config.pbtxt").read_text(encoding="utf-8").splitlines()
    return {key: rest.strip() for key, rest in (re.split(r":| (?=\[)", line, maxsplit=1) for line in lines)}


@pytest.mark.parametrize("name", ABLE)
def test_each_engine_that_can_be_served(tmp_path: Path, name: str) -> None:
    """The model's files under Triton's names, with its shapes, its classes and the device it was built for."""
    engine = engines.catalogue()[name]
    assert engine.triton
    source = make(tmp_path / "made", engine, device="cuda")
    model = export_triton(source, tmp_path / "new" / "repository")
    assert model == tmp_path / "new" / "repository" / "bf16_some_precision_int8"
    assert {path.name for path in model.iterdir()} == {"1", "config.pbtxt", "classes.txt"}
    written = {path.name: path.read_text() for path in (model / "1").iterdir()}
    assert written == {wanted: f"content of {given}" for given, wanted in engine.triton.files.items()}
    assert (model / "classes.txt").read_text() == "cat\ndog\n"
    said = settings(model)
    assert said["name"] == '"bf16_some_precision_int8"'
    assert said["backend"] == f'"{engine.triton.backend}"'
    assert f'name: "{engine.triton.input}" data_type: TYPE_FP32 dims: [3, 16, 24]' in said["input"]
    assert f'name: "{engine.triton.output}" data_type: TYPE_FP32 dims: [2]' in said["output"]
    assert "KIND_GPU" in said["instance_group"]


def test_a_plan_takes_no_more_than_its_profile(tmp_path: Path) -> None:
    """Triton's largest batch is the plan's."""
    source = make(tmp_path / "made", tensorrt.ENGINE, input=INPUT | {"largest_batch": 12})
    model = export_triton(source, tmp_path / "out")
    assert settings(model)["max_batch_size"] == "12"
    assert (model / "1" / "model.plan").is_file()


def test_a_fixed_batch_is_part_of_the_shape(tmp_path: Path, any_batch: Engine) -> None:
    """Triton then does no batching; where any size is taken, it may gather 32."""
    fixed = INPUT | {"shape": (4, 3, 16, 24)}
    said = settings(export_triton(make(tmp_path / "a", any_batch, input=fixed), tmp_path / "out"))
    assert said["max_batch_size"] == "0"
    assert "dims: [4, 3, 16, 24]" in said["input"]
    assert "dims: [4, 2]" in said["output"]
    free = settings(export_triton(make(tmp_path / "b", any_batch), tmp_path / "out"))
    assert (free["max_batch_size"], "KIND_CPU" in free["instance_group"]) == ("32", True)


@pytest.fixture
def any_batch(monkeypatch: pytest.MonkeyPatch) -> Engine:
    """An engine whose artifacts take any batch size and hold no code."""
    engine = replace(eager.ENGINE, triton=Triton("backend", {"a.bin": "model.bin"}, "in", "out"))
    known: Mapping[str, Engine] = {**engines.catalogue(), engine.name: engine}
    monkeypatch.setattr(engines, "catalogue", lambda: known)
    return engine


def test_other_engines_are_refused_with_those_that_work(tmp_path: Path) -> None:
    """In one line, and nothing is written."""
    source = make(tmp_path / "made", eager.ENGINE)
    with pytest.raises(UsageError, match="doesn't take what eager saves") as refused:
        export_triton(source, tmp_path / "out")
    assert ", ".join(ABLE) in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_code_of_others_is_refused_unless_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model server runs what it is given: what densebench wouldn't load it doesn't pass on."""
    source = make(tmp_path / "made", tensorrt.ENGINE)
    monkeypatch.setenv("DENSEBENCH_KEY_FILE", str(tmp_path / "other.key"))
    with pytest.raises(RefusedArtifact, match="did not sign"):
        export_triton(source, tmp_path / "out")
    assert export_triton(source, tmp_path / "out", trust=True).is_dir()


def test_a_changed_byte_is_refused(tmp_path: Path, any_batch: Engine) -> None:
    """The hashes are checked before anything is copied."""
    source = make(tmp_path / "made", any_batch)
    (source / "a.bin").write_text("content of b.bin")
    with pytest.raises(RefusedArtifact, match="missing or damaged"):
        export_triton(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_failed_copy_leaves_what_was_there(
    tmp_path: Path, any_batch: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk on the way: the model that was served stays, and no other folder appears."""
    source = make(tmp_path / "made", any_batch)
    model = export_triton(source, tmp_path / "out")
    (model / "1" / "model.bin").write_text("the old one")

    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfile", full)
        with pytest.raises(InputError, match="No space left on device"):
            export_triton(source, tmp_path / "out")
    assert (model / "1" / "model.bin").read_text() == "the old one"
    assert list((tmp_path / "out").iterdir()) == [model]
    export_triton(source, tmp_path / "out")  # a second export replaces the first
    assert (model / "1" / "model.bin").read_text() == "content of a.bin"


def test_what_is_in_the_way_stays(tmp_path: Path, any_batch: Engine) -> None:
    """A folder of that name which is no Triton model, and a destination that is a file."""
    source = make(tmp_path / "made", any_batch)
    other = tmp_path / "out" / "bf16_some_precision_int8"
    other.mkdir(parents=True)
    (other / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="no Triton model"):
        export_triton(source, tmp_path / "out")
    assert (other / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="is no folder"):
        export_triton(source, tmp_path / "file")


def parameters(model: Path) -> dict[str, str]:
    """The names and values that the backend is given."""
    found = re.findall(
        r'^parameters { key: "(\w+)" value: { string_value: "(\w+)" } }$',
        (model / "config.pbtxt").read_text(),
        re.MULTILINE,
    )
    return dict(found)


def lost(model: Path) -> list[str]:
    """What a comment says can't be expressed."""
    return re.findall(r"^# not the same here: (.*)$", (model / "config.pbtxt").read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("engine", "details", "given", "unsaid"),
    [
        ("onnx", {"provider": "auto"}, {"intra_op_thread_count": "2"}, None),
        ("onnx", {"provider": "auto", "arena": True}, {"intra_op_thread_count": "2"}, None),
        (
            "onnx",
            {"provider": "auto", "arena": False},
            {"intra_op_thread_count": "2", "enable_mem_arena": "0"},
            None,
        ),
        ("onnx", {"provider": "tensorrt"}, {"intra_op_thread_count": "2"}, "execution_accelerators"),
        ("openvino", {"precision": "fp32"}, {}, "OpenVINO runs this FP32 model in BF16"),
        ("openvino", {"precision": "bf16"}, {"HINT_BF16": "YES"}, None),
        ("openvino", {"precision": "int8"}, {}, "runs what isn't quantized in this model in BF16"),
        (
            "openvino",
            {"precision": "int8", "rest": "f32"},
            {},
            "runs what isn't quantized in this model in BF16",
        ),
        ("openvino", {"precision": "int8", "rest": "auto"}, {}, None),
        ("openvino", {"precision": "int8", "rest": "bf16"}, {"HINT_BF16": "YES"}, None),
        ("jit", {}, {"INTRA_OP_THREAD_COUNT": "2"}, "doesn't optimize it for inference"),
        ("tensorrt", {}, {}, None),
    ],
)
def test_the_backend_is_told_how_it_was_measured(tmp_path, engine, details, given, unsaid):
    """Precision and threads, by the backend's names for them; what it has no name for is said."""
    model = export_triton(
        make(tmp_path / "made", engines.catalogue()[engine], details=details), tmp_path / "out"
    )
    if engine == "openvino":
        given = {"INFERENCE_NUM_THREADS": "2", "NUM_STREAMS": "1", **given}
    assert parameters(model) == given
    assert len(lost(model)) == (unsaid is not None)
    assert unsaid is None or unsaid in lost(model)[0]


@pytest.mark.parametrize(("graph", "level"), [("extended", 1), ("basic", -1), ("off", 2), ("all", None)])
def test_the_graph_is_optimized_as_it_was_measured(tmp_path, graph, level):
    """By the backend's numbers, which are not ONNX Runtime's; its default is to optimize all."""
    made = make(tmp_path / "made", onnxruntime.ENGINE, details={"provider": "auto", "graph": graph})
    text = (export_triton(made, tmp_path / "out") / "config.pbtxt").read_text()
    lines = [line for line in text.splitlines() if line.startswith("optimization")]
    assert lines == ([] if level is None else [f"optimization {{ graph {{ level: {level} }} }}"])


def test_two_precisions_of_one_file_are_told_apart(tmp_path):
    """OpenVINO's FP32 and BF16 artifacts hold the same graph."""
    texts = []
    for precision in ("fp32", "bf16"):
        made = make(tmp_path / precision, openvino.ENGINE, details={"precision": precision})
        texts.append((export_triton(made, tmp_path / f"out {precision}") / "config.pbtxt").read_text())
    assert texts[0] != texts[1]


def test_what_the_process_was_started_with_is_said(tmp_path, any_batch):
    """A server's process has an allocator of its own."""
    variables = {"threads": 2, "MALLOC_TOP_PAD_": "1", "LD_PRELOAD": "libx.so"}
    model = export_triton(make(tmp_path / "a", any_batch, host_settings=variables), tmp_path / "out")
    assert lost(model) == ["it was measured in a process started with MALLOC_TOP_PAD_=1 LD_PRELOAD=libx.so"]


def test_an_exported_model_runs(tmp_path):
    """A real file, from the repository's folder in ONNX Runtime, with the names and shapes that the text says."""
    import onnxruntime as runtime

    model = served(tiny_model())
    built = onnxruntime.build(model, tiny_workload(), tmp_path, Target("cpu", (2,), 1))
    facts = {"details": built.details, "input": input_of(16, 16), "classes": ("x",) * 10}
    source = make(tmp_path / "made", onnxruntime.ENGINE, tmp_path, **facts)
    folder = export_triton(source, tmp_path / "out")
    said = settings(folder)
    session = runtime.InferenceSession(folder / "1" / "model.onnx", providers=["CPUExecutionProvider"])
    [given], [got] = session.get_inputs(), session.get_outputs()
    assert f'name: "{given.name}" data_type: TYPE_FP32 dims: {given.shape[1:]}' in said["input"]
    assert f'name: "{got.name}" data_type: TYPE_FP32 dims: {got.shape[1:]}' in said["output"]
    logits = session.run([got.name], {given.name: images(3).numpy()})[0]
    with torch.inference_mode():
        assert torch.allclose(torch.from_numpy(logits), model(images(3)), atol=1e-4)


def test_the_command_refuses_another_format(tmp_path, any_batch):
    """In one line that says which one there is, and nothing is written."""
    source = make(tmp_path / "made", any_batch)
    asked = ["export", str(source), str(tmp_path / "out"), "--format"]
    refused = CliRunner().invoke(main.app, [*asked, "torchserve"])
    assert isinstance(refused.exception, UsageError)
    assert str(refused.exception) == "--format is triton (got 'torchserve')"
    assert not (tmp_path / "out").exists()
    done = CliRunner().invoke(main.app, [*asked, "triton"])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "bf16_some_precision_int8" / "config.pbtxt").is_file()
