"""What to run: suites, flags over them, and refusals in one line."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from densebench import engines, techniques
from densebench.cli import main
from densebench.errors import InputError, UsageError
from densebench.recipes.parse import plan
from densebench.spec import BASELINE, FILE_ONLY, RunSpec, read_suite

NOT_IN_THE_DEFAULT_SUITE = {
    "instances": "a whole server, and not the single stream that the other rows are of",
    "huge_pages": "only a kernel that gives huge pages on request alone has any for it",
    "semi_structured": "convolutions multiply by its zeros all the same, so a convolutional network gains nothing",
    "threads": "which number is worth trying depends on the machine",
}

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=12)
positive = st.floats(0.001, 1e6)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "recipes": st.lists(words, min_size=1, max_size=4),
    "batch-sizes": st.lists(st.integers(1, 65536), min_size=1, max_size=5),
    "named": st.dictionaries(words, words, max_size=3),
    "model": words,
    "weights": words,
    "data": words,
    "image-size": st.integers(32, 4096),
    "device": st.sampled_from(["auto", "cpu", "cuda"]),
    "threads": st.integers(1, 4096),
    "output-dir": words,
    "log-dir": words,
    "resume": st.booleans(),
    "seed": st.integers(0, 2**32 - 1),
    "cell-timeout": positive,
    "rounds": st.integers(1, 1000),
    "focus-batch-sizes": st.lists(st.integers(1, 65536), max_size=3),
    "focus-rounds": st.integers(1, 1000),
    "repeats": st.integers(0, 100),
    "ceilings": st.booleans(),
    "sample-time": positive,
    "accuracy-time": positive,
    "accuracy-images": st.one_of(st.just("all"), st.integers(1, 10**9)),
    "deploy-time": st.floats(0, 60),
    "precision-target": positive,
    "objective": st.sampled_from(["throughput", "latency", "memory", "size"]),
    "serving-batch-size": st.integers(1, 65536),
    "max-accuracy-drop": st.floats(0.001, 100),
    "max-latency-ms": positive,
    "max-memory-mb": positive,
    "max-size-mb": positive,
    "confirmation-rounds": st.integers(0, 1000),
    "trust": st.booleans(),
    "mlflow": words,
}


def toml(values: dict[str, Any]) -> str:
    """Keys and values as TOML; for printable ASCII, JSON's scalars and lists are TOML's."""
    tables = [key for key in values if isinstance(values[key], dict)]
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items() if key not in tables]
    for key in tables:
        lines.append(f"[{key}]")
        lines += [f"{json.dumps(name)} = {json.dumps(line)}" for name, line in values[key].items()]
    return "\n".join(lines)


def test_every_key_is_tried() -> None:
    """A key that is added to the spec is added to the property below."""
    assert set(VALUES) == {name.replace("_", "-") for name in RunSpec.model_fields}


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({}, optional=VALUES))
def test_any_subset_of_keys_is_read_as_the_flags_are(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    """A suite file says what the same flags say, and its keys say nothing else."""
    path = tmp_path_factory.getbasetemp() / "property.toml"
    path.write_text(toml(values), encoding="utf-8")
    spec = RunSpec.create(path)
    flags = {key.replace("-", "_"): value for key, value in values.items()}
    assert spec == RunSpec.create(**flags)
    said = spec.model_dump(mode="json")
    served = flags.get("serving_batch_size")
    if served is not None:  # it is measured too
        assert served in spec.batch_sizes
        flags["batch_sizes"] = [
            size for size in said["batch_sizes"] if size != served or size in values.get("batch-sizes", [])
        ]
        said["batch_sizes"] = flags["batch_sizes"]
    for key, value in flags.items():
        if key == "named":
            assert value.items() <= said[key].items()
        elif key.endswith("_dir"):
            assert Path(said[key]) == Path(value)
        else:
            assert said[key] == value
    untouched = RunSpec.create().model_dump(mode="json")
    assert {k: v for k, v in said.items() if k not in flags} == {
        k: v for k, v in untouched.items() if k not in flags
    }


@pytest.mark.parametrize(("served", "measured"), [(8, (1, 8)), (4, (1, 8, 4))])
def test_the_batch_size_that_is_served_is_measured(served: int, measured: tuple[int, ...]) -> None:
    """`--serving-batch-size` adds its batch size where it isn't among them."""
    assert RunSpec.create(batch_sizes=[1, 8], serving_batch_size=served).batch_sizes == measured


def test_a_resume_keeps_the_objective_and_the_limits_that_it_does_not_name() -> None:
    """A limit of the run that is resumed holds on, unless the resume has one of its own."""
    former = RunSpec.create(objective="latency", max_latency_ms=20, max_size_mb=30).model_dump(mode="json")
    spec = RunSpec.create(resume=True, max_size_mb=50).going_on(former)
    assert (spec.objective, spec.max_latency_ms, spec.max_size_mb) == ("latency", 20, 50)
    assert spec.resume


def test_a_spec_survives_json() -> None:
    """What the journal keeps of a spec makes the same spec again."""
    spec = RunSpec.create("quick", threads=3)
    assert RunSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize("suite", ["default", "quick"])
def test_shipped_suites_are_legal(suite: str) -> None:
    """Every recipe of a shipped suite exists and stacks, and the baseline comes first."""
    spec = RunSpec.create(suite)
    names = [recipe.name for recipe in plan(spec.recipes, spec.named)]
    assert names == list(spec.recipes)
    assert names[0] == BASELINE


def test_the_default_suite_is_what_was_promised() -> None:
    """Batch sizes and the core recipes of the default run."""
    spec = RunSpec.create()
    assert spec.batch_sizes == (1, 2, 4, 8, 16, 32)
    assert spec.image_size == 224
    wanted = "baseline amp channels_last compile jit quantize bf16 dynamic_quantization pruning"
    assert " ".join(spec.recipes).startswith(wanted)


def test_the_default_suite_tries_whatever_there_is() -> None:
    """A technique or an engine that is added joins the default run, or says here why it doesn't."""
    spec = RunSpec.create()
    named = plan(spec.recipes, spec.named)
    tried = {step.what.name for recipe in named for step in (*recipe.techniques, recipe.engine)}
    known = {one.name for kind in (techniques, engines) for one in kind.catalogue().values()}
    assert known - tried == set(NOT_IN_THE_DEFAULT_SUITE)


def test_the_quick_suite_is_smaller() -> None:
    """`--quick` takes recipes of the default suite, smaller images, fewer sizes and less time."""
    quick, default = RunSpec.create("quick"), RunSpec.create()
    assert set(quick.recipes) <= set(default.recipes)
    assert quick.image_size < default.image_size
    assert quick.sample_time < default.sample_time
    assert set(quick.batch_sizes) < set(default.batch_sizes)


def test_flags_override_the_suite(tmp_path: Path) -> None:
    """A flag wins over the file, the file over the default; a flag that is not given says nothing."""
    path = tmp_path / "mine.toml"
    path.write_text('image-size = 96\nseed = 5\nrecipes = ["jit"]\n', encoding="utf-8")
    spec = RunSpec.create(path, image_size=64, threads=None, seed=None)
    assert (spec.image_size, spec.seed, spec.recipes) == (64, 5, ("jit",))
    assert spec.threads is None


def test_named_recipes_are_added_to_those_shipped(tmp_path: Path) -> None:
    """A suite or a caller that names recipes keeps the baseline."""
    path = tmp_path / "mine.toml"
    path.write_text('[named]\nfast = "channels_last+bf16"\n', encoding="utf-8")
    expected = RunSpec.create().named | {"fast": "channels_last+bf16"}
    assert expected[BASELINE] == "eager"
    assert RunSpec.create(path).named == expected
    assert RunSpec.create(named={"fast": "channels_last+bf16"}).named == expected


@pytest.mark.parametrize(
    ("written", "nearest"),
    [("batchsizes", "batch-sizes"), ("recipe", "recipes"), ("batch_sizes", "batch-sizes"), ("sed", "seed")],
)
def test_a_misspelt_key_names_the_nearest(tmp_path: Path, written: str, nearest: str) -> None:
    """The refusal of an unknown key offers the one that was meant, in a file as from Python."""
    path = tmp_path / "mine.toml"
    path.write_text(f"{written} = 1\n", encoding="utf-8")
    with pytest.raises(InputError, match=f"unknown key '{written}'; did you mean '{nearest}'"):
        read_suite(path)
    if written.replace("-", "_") not in RunSpec.model_fields:
        with pytest.raises(UsageError, match=f"did you mean '{nearest}'"):
            RunSpec.create(**{written: 1})


WRONG: dict[str, list[Any]] = {
    "recipes": ["jit", [], 3, [1]],
    "batch-sizes": [8, [], [0], [1.5], ["many"], [70000]],
    "named": [5, "x", {"a": 1}],
    "model": [1, []],
    "weights": [1],
    "data": [True],
    "image-size": [31, 5000, "big", 3.5],
    "device": ["gpu", 1],
    "threads": [0, "all"],
    "output-dir": [1],
    "log-dir": [[]],
    "resume": ["perhaps", []],
    "seed": [-1, 2**32, "x"],
    "cell-timeout": [0, -3, "long", float("inf"), float("nan")],
    "rounds": [0, 2.5],
    "focus-batch-sizes": [[0], 8],
    "focus-rounds": [0, 2.5],
    "repeats": [-1, "some"],
    "ceilings": ["perhaps"],
    "sample-time": [0, float("nan")],
    "accuracy-time": [0, []],
    "accuracy-images": [0, -3, "some", "0", "1.5", True, []],
    "deploy-time": [-1, 61, float("nan")],
    "precision-target": [0, "tight"],
    "objective": ["speed", 3],
    "serving-batch-size": [0, -8, "one"],
    "max-accuracy-drop": [-0.1, 0, "none"],
    "max-latency-ms": [0, -1, "soon"],
    "max-memory-mb": [0, -1, "little"],
    "max-size-mb": [0, -1, "small"],
    "confirmation-rounds": [-1, "few"],
    "trust": ["maybe"],
    "mlflow": ["", 5],
}


def test_every_key_has_wrong_values() -> None:
    """A key that is added to the spec is refused something below."""
    assert set(WRONG) == set(VALUES)


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, bad in WRONG.items() for value in bad])
def test_wrong_values_are_refused_in_one_line(key: str, value: object) -> None:
    """A value of the wrong type or range is a usage error that names the flag, on one line."""
    with pytest.raises(UsageError) as refusal:
        RunSpec.create(**{key.replace("-", "_"): value})
    text = str(refusal.value)
    assert key in text
    assert "\n" not in text


@pytest.mark.parametrize("content", [b"recipes = [", b"seed 3", b"\xff\xfe", b'named = "x"'])
def test_a_file_that_is_no_suite_is_refused(tmp_path: Path, content: bytes) -> None:
    """Broken TOML, bytes that aren't text and a table that isn't one are bad input, with the file's name."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"broken\.toml"):
        read_suite(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    """A suite that isn't there, or is a folder, is bad input."""
    for path in (tmp_path / "none.toml", tmp_path):
        with pytest.raises(InputError, match="suite file"):
            read_suite(path)


def test_a_spec_is_frozen() -> None:
    """No stage changes what was asked for."""
    with pytest.raises(ValueError, match="frozen"):
        RunSpec.create().seed = 1  # type: ignore[misc]


def test_every_key_is_a_flag_or_known_to_be_none() -> None:
    """A command is not made of flags that the command line doesn't have."""
    flags = set(inspect.signature(main.run).parameters) - {"suite", "quick", "dry_run", "as_json"}
    assert flags == set(RunSpec.model_fields) - FILE_ONLY


def test_a_key_that_is_gone_names_what_has_its_part(tmp_path: Path) -> None:
    """In a suite file and in a call."""
    path = tmp_path / "suite.toml"
    path.write_text("focus-time = 60\n")
    said = "the key 'focus-time' is gone: rounds are fixed, and focus-rounds says how many"
    with pytest.raises(InputError, match=f"suite file .*: {said}"):
        RunSpec.create(path)
    with pytest.raises(UsageError, match=said):
        RunSpec.create(focus_time=60)
