"""Every engine: it builds, loads from the folder alone, answers as the model did, says what it did, and closes."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch._inductor.cpu_vec_isa

from densebench import engines
from densebench.engines import _inductor, eager, torch_compile
from densebench.engines.base import Built, Engine, Session, Target
from densebench.model.adapter import Served, served
from densebench.model.fidelity import relative_difference
from densebench.schema import Effect
from densebench.techniques.base import DEVICES, worth_trying
from densebench.workloads.base import ImageSet, Workload
from tests.small import CLASSES, images

pytest_plugins = ["tests.fixtures"]

CATALOGUE = {engine.name: engine for engine in engines.catalogue().values()}
EFFECTS = {  # engine -> how its effect on a plain FP32 model begins; an engine that is not here fails
    "aot_inductor": "ahead-of-time package: float32 convolutions 2/2",
    "compile": "1 compiled graph, 0 graph breaks",
    "eager": "none: ",
    "jit": "frozen graph: ",
    "onnx": "optimized graph: ",
    "openvino": "graph fused: ",
    "tensorrt": "float16 convolutions",
}
# Engine -> options that it is tried with beside its defaults, each option that a search may try among them
SETTINGS: dict[str, list[dict[str, Any]]] = {
    "onnx": [
        {"graph": "extended"},
        {"graph": "basic"},
        {"graph": "off"},
        {"arena": False},
        {"streams": 2},
        {"precision": "int8", "calibration": 9},
        {"precision": "int8", "method": "entropy"},
        {"precision": "int8", "method": "percentile", "percentile": 99.9, "graph": "extended"},
    ],
    "openvino": [
        {"precision": "int8"} | more
        for more in (
            {"rest": "f32"},
            {"rest": "bf16"},
            {"calibration": 100},
            {"preset": "mixed"},
            {"ranges": "minmax"},
            {"ranges": "mean_minmax"},
            {"ranges": "median_minmax"},
            {"ranges": "mean_no_outliers_minmax"},
            {"ranges": "mean_quantile", "preset": "mixed"},
            {"ranges": "histogram", "preset": "mixed"},
            {"bias_correction": "full"},
            {"accuracy_control": True, "max_drop": 50.0, "calibration": 50},
            {"streams": 2},
        )
    ],
}
FARTHEST = 0.15  # relative difference of INT8 from FP32
BATCHES = (2,)  # each more may be a graph more to compile


@dataclass(frozen=True)
class Made:
    """An artifact of one engine, and what the model answered when it was made."""

    engine: Engine
    model: Served
    folder: Path
    built: Built


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where temporary folders go while these tests run, so that one that stays is seen."""
    folder = tmp_path_factory.mktemp("temporary")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tempfile, "tempdir", str(folder))
        # Compiling vectorized code first tries out every instruction set: most of a build's seconds
        patch.setattr(torch._inductor.cpu_vec_isa, "valid_vec_isa_list", list)
        yield folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """What was made already: each engine builds once."""
    return {}


@pytest.fixture(params=sorted(CATALOGUE))
def made(
    request: pytest.FixtureRequest,
    folders: dict[str, Made],
    tiny: Workload,
    temporary: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Made:
    """An artifact of every engine in turn."""
    name = request.param
    engine = CATALOGUE[name]
    if reason := engine.unavailable("cpu"):
        pytest.skip(reason)
    if name not in folders:
        folder = tmp_path_factory.mktemp(name)
        model = served(tiny.build_model())
        folders[name] = Made(
            engine, model, folder, engine.build(model, tiny, folder, Target("cpu", BATCHES, 1))
        )
    return folders[name]


@pytest.fixture
def session(made: Made) -> Iterator[Session]:
    """The artifact loaded, with nothing but its folder and the details of its manifest."""
    details = json.loads(json.dumps(made.built.details))
    loaded = made.engine.load(made.folder, details, "cpu")
    yield loaded
    loaded.close()


def test_every_engine_has_an_expected_effect() -> None:
    """A new engine says in EFFECTS what it is seen to do to a plain model."""
    assert set(EFFECTS) == set(CATALOGUE)


def test_it_answers_as_the_model_did(made: Made, session: Session) -> None:
    """At each batch size the reloaded artifact gives FP32 logits within the engine's declared tolerance."""
    for size in BATCHES:
        with torch.inference_mode():
            expected, outputs = made.model(images(size)), session(images(size))
        assert (outputs.shape, outputs.dtype) == ((size, CLASSES), torch.float32)
        assert relative_difference(outputs, expected) <= max(made.engine.tolerance, 1e-6)


def test_its_effect_is_told(made: Made, session: Session) -> None:
    """What it says of a plain model is what is expected of it, and the session still answers afterwards."""
    assert str(session.effect(images(2))).startswith(EFFECTS[made.engine.name])
    with torch.inference_mode():
        assert session(images(2)).shape == (2, CLASSES)


@pytest.mark.parametrize(
    ("name", "options"), [(name, one) for name in SETTINGS for one in SETTINGS[name]], ids=str
)
def test_it_keeps_its_promises_with_other_options(
    name: str, options: dict[str, Any], tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers as the model did and has an effect; the README's code runs it with the same options."""
    engine = CATALOGUE[name]
    if reason := engine.unavailable("cpu"):
        pytest.skip(reason)
    there = images(200, seed=1)
    found = ImageSet((0,) * len(there), lambda positions: there[list(positions)])
    workload = replace(tiny, data=replace(tiny.data, calibration=found, training=found))
    model = served(tiny.build_model())
    given = engine.options.model_validate(options).model_dump()
    built = engine.build(model, workload, tmp_path, Target("cpu", BATCHES, 1), **given)
    details = json.loads(json.dumps(built.details))
    session = engine.load(tmp_path, details, "cpu")
    names: dict[str, Any] = {"images": images(2).numpy()}
    monkeypatch.chdir(tmp_path)
    exec(engine.usage(details, "cpu"), names)
    with torch.inference_mode():
        outputs, expected = session(images(2)), model(images(2))
    assert relative_difference(outputs, expected) <= (
        FARTHEST if built.rounds else max(engine.tolerance, 1e-6)
    )
    assert relative_difference(torch.from_numpy(names["logits"]), outputs) <= max(engine.tolerance, 1e-6)
    assert not session.effect(images(2)).none_because
    session.close()


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_option_worth_trying_is_tried(name: str) -> None:
    """A new option of such an engine is in SETTINGS."""
    tried = {option for options in SETTINGS[name] for option in options}
    assert set(worth_trying(CATALOGUE[name].options)) <= tried


def test_nothing_is_left_after_close(made: Made, temporary: Path) -> None:
    """A closed session has no temporary folder; closing twice does no harm."""
    loaded = made.engine.load(made.folder, made.built.details, "cpu")
    loaded.close()
    loaded.close()
    assert list(temporary.glob("densebench*")) == []


def test_the_artifact_can_be_moved(made: Made, tmp_path: Path) -> None:
    """Nothing in the folder points to where it was built."""
    moved = shutil.copytree(made.folder, tmp_path / "moved")
    session = made.engine.load(moved, made.built.details, "cpu")
    with torch.inference_mode():
        assert relative_difference(session(images(2)), made.model(images(2))) <= max(
            made.engine.tolerance, 1e-6
        )
    session.close()


def test_caches_are_files_of_the_artifact(made: Made) -> None:
    """What is called a cache is there, and the artifact works without it."""
    assert all((made.folder / name).is_file() for name in made.built.caches)
    left = {path.name for path in made.folder.iterdir()} - set(made.built.caches)
    assert left


def test_its_declaration_is_complete(made: Made) -> None:
    """One line about it, legal defaults, a small tolerance, and details that are JSON."""
    engine = made.engine
    assert 0 < len(engine.about) < 100
    assert "\n" not in engine.about
    engine.options()
    assert 0 <= engine.tolerance < 0.01
    assert json.loads(json.dumps(made.built.details)) == made.built.details


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_a_device_that_it_never_runs_on_is_unavailable(name: str) -> None:
    """What it declares of its devices, and what it says of one that it is to run on, agree."""
    engine = CATALOGUE[name]
    able = engine.devices(engine.options().model_dump())
    assert set(able) <= set(DEVICES)
    assert able
    for device in set(DEVICES).difference(able):
        assert engine.unavailable(device)


def test_an_engine_that_says_nothing_of_code_is_not_trusted() -> None:
    """An engine of another package whose author forgot the question has its artifacts signed and checked."""
    assert Engine("other", "of another package", eager.build, eager.load).contains_code


def test_only_data_is_in_an_artifact_without_code(made: Made) -> None:
    """An engine that claims to ship no code writes no pickle, archive or library."""
    if not made.engine.contains_code:
        assert {path.suffix for path in made.folder.iterdir()} <= {".safetensors", ".onnx", ".xml", ".bin"}


def test_a_compiled_artifact_compiles_nothing_again(
    folders: dict[str, Made], tiny: Workload, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that loads the cache runs no C++ compiler; the archive is what spares it that."""
    made = folders.get("compile")
    if made is None:
        pytest.skip("nothing was compiled: no C++ compiler here, or this test runs alone")
    torch._dynamo.reset()
    monkeypatch.setattr(subprocess.Popen, "__init__", lambda self, call, *a, **k: pytest.fail(f"ran {call}"))
    session = made.engine.load(made.folder, made.built.details, "cpu")
    with torch.inference_mode():
        outputs = session(images(2))
        assert relative_difference(outputs, made.model(images(2))) <= made.engine.tolerance
    assert made.built.cold_start_s is not None
    assert made.built.cold_start_s > 0
    session.close()


ON_A_CPU = ("compile", "aot_inductor")


@pytest.fixture
def programs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """A machine without compilers that has Python's headers, and what installs a program by its name."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(_inductor.sysconfig, "get_path", lambda name, scheme: str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.delenv("CC", raising=False)

    def install(name: str) -> None:
        (tmp_path / name).touch(0o755)

    return install


@pytest.mark.parametrize("name", ON_A_CPU)
def test_inductor_needs_a_cpp_compiler(
    name: str, programs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """CXX is a command: a launcher or flags in it are no missing compiler, and a missing one is named."""
    engine = engines.catalogue()[name]
    assert engine.unavailable("cpu") == "install g++"
    programs("g++")
    assert engine.unavailable("cpu") is None
    for command in ("clang++", "ccache g++", "/no/such/g++", "", "'"):
        monkeypatch.setenv("CXX", command)
        assert engine.unavailable("cpu") == f"install g++, or name a C++ compiler in CXX (now '{command}')"
    programs("ccache")
    for command in ("g++ -O2", "ccache g++"):
        monkeypatch.setenv("CXX", command)
        assert engine.unavailable("cpu") is None
    monkeypatch.setenv("CXX", "ccache clang++")
    assert engine.unavailable("cpu")


@pytest.mark.parametrize("name", ON_A_CPU)
def test_triton_needs_a_c_compiler_and_pythons_headers(
    name: str, programs: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A GPU's rows are skipped with what to install, not failed in the middle of a build."""
    engine = engines.catalogue()[name]
    programs("g++")
    assert engine.unavailable("cuda") == "install gcc"
    programs("clang")
    assert engine.unavailable("cuda") is None
    monkeypatch.setenv("CC", "ccache gcc")  # Triton takes it as the name of one program
    assert "one program" in (engine.unavailable("cuda") or "")
    monkeypatch.setenv("CC", "clang")
    assert engine.unavailable("cuda") is None
    (tmp_path / "Python.h").unlink()
    assert "python3-dev" in (engine.unavailable("cuda") or "")


def test_compile_needs_pythons_headers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Inductor binds its kernels to Python: a system's own Python has the headers in a package of their own."""
    monkeypatch.setattr(_inductor.sysconfig, "get_path", lambda name, scheme: str(tmp_path))
    assert _inductor.no_headers() == f"install Python's headers (python3-dev): {tmp_path} has none"
    (tmp_path / "Python.h").touch()
    assert _inductor.no_headers() is None
    monkeypatch.setattr(torch_compile, "no_compiler", lambda: None)
    monkeypatch.setattr(torch_compile, "no_headers", lambda: "none")
    assert torch_compile.unavailable("cpu") == "none"


def test_a_cache_that_was_left_out_is_no_error(tiny: Workload, tmp_path: Path) -> None:
    """The compile engine opens an artifact whose deployer shipped the weights only."""
    built = eager.build(served(tiny.build_model()), tiny, tmp_path, Target("cpu", (1,), 1))
    session = torch_compile.load(tmp_path, built.details, "cpu")
    assert Path(session.cache).is_dir()
    session.close()
    assert not Path(session.cache).exists()


def test_a_session_that_nobody_closes_leaves_nothing(tiny: Workload, tmp_path: Path) -> None:
    """`densebench.load` has no close: what a session holds on disk goes with it."""
    built = eager.build(served(tiny.build_model()), tiny, tmp_path, Target("cpu", (1,), 1))
    session = torch_compile.load(tmp_path, built.details, "cpu")
    folder = Path(session.cache)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del session
        gc.collect()
    assert not folder.exists()


def test_a_claim_without_a_deed_has_no_effect(tiny: Workload, tmp_path: Path) -> None:
    """A technique that says bf16 and changes nothing is found out: an effect is what is seen, not claimed."""
    claimed = served(tiny.build_model())
    built = eager.build(claimed, tiny, tmp_path, Target("cpu", (1,), 1))
    assert eager.load(tmp_path, built.details, "cpu").effect(images(1)).none_because
    cast = served(tiny.build_model(), dtype="bfloat16")
    cast.core.to(torch.bfloat16)
    done = eager.build(cast, tiny, tmp_path, Target("cpu", (1,), 1))
    effect = eager.load(tmp_path, done.details, "cpu").effect(images(1))
    assert effect == Effect(seen=("bfloat16 convolutions 2/2",))


def test_the_default_engine_restores_every_setting(tiny: Workload, tmp_path: Path) -> None:
    """Precision, layout and autocast of the boundary come back from the details alone."""
    for settings in (
        {"dtype": "bfloat16", "channels_last": True, "autocast": ""},
        {"dtype": "float32", "channels_last": False, "autocast": "bfloat16"},
    ):
        model = served(tiny.build_model(), **settings)
        if settings["dtype"] == "bfloat16":
            model.core.to(torch.bfloat16)
        built = eager.build(model, tiny, tmp_path, Target("cpu", (1,), 1))
        loaded = eager.load_module(tmp_path, json.loads(json.dumps(built.details)), "cpu")
        assert loaded.settings() == settings
        kernel = loaded.core.first.weight
        assert kernel.is_contiguous(memory_format=torch.channels_last) is settings["channels_last"]
        assert not any(part.training for part in loaded.modules())
        assert not any(parameter.requires_grad for parameter in loaded.parameters())
        with torch.inference_mode():
            assert torch.equal(loaded(images(3)), model(images(3)))


def test_the_template_says_what_to_write() -> None:
    """The engine template is a whole registration whose two functions are still to be written."""
    from densebench.engines import _template

    assert isinstance(_template.ENGINE, Engine)
    with pytest.raises(NotImplementedError):
        _template.ENGINE.load(Path(), {}, "cpu")
