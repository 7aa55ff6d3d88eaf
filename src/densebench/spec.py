"""What to run: every flag of `densebench run`, checked and frozen. A suite file holds the same names."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from densebench.errors import InputError, UsageError
from densebench.schema import Frozen

BASELINE = "baseline"  # the recipe that all others are compared with
LEAST_ROUNDS = 3
FOCUS_ROUNDS = 6
ACCURACY_BATCH = 32
AGREEMENT_IMAGES = 64  # without labels, recipes are compared with the baseline on so many
BASELINE_PROCESSES = 2  # in each round: every recipe is compared with them

Objective = Literal["throughput", "latency", "memory", "size"]

# keys of a suite that are no flags of the command line
FILE_ONLY = {
    "named",
    "repeats",
    "ceilings",
    "sample_time",
    "accuracy_time",
    "deploy_time",
    "confirmation_rounds",
}
GONE = {"focus-time": "rounds are fixed, and focus-rounds says how many"}  # keys of former versions
BatchSize = Annotated[int, Field(ge=1, le=65536)]


def _whole_number_or_all(value: object) -> object:
    """A count of images, or `all`: a union's own message would name only one of the two."""
    if value == "all":
        return value
    if isinstance(value, int | str) and re.fullmatch(r"[1-9][0-9]{0,17}", str(value)):
        return int(value)
    raise PydanticCustomError("accuracy_images", "give a whole number above 0, or all")


Images = Annotated[int | Literal["all"], BeforeValidator(_whole_number_or_all)]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


def flag_of(name: str) -> str:
    """`--batch-sizes` for `batch_sizes`."""
    return f"--{_hyphenated(name)}"


class Limits(Frozen):
    """What a recommended recipe must keep. None sets no limit.

    Attributes:
        max_accuracy_drop: percentage points of top-1 that may be lost, by the upper bound of the loss.
        max_latency_ms: of one batch: its p95 where the sample is large enough for one, else its p50.
        max_memory_mb: the process's GPU memory on CUDA, else `deploy_memory_mb`.
        max_size_mb: of the files that a deployer ships.
        serving_batch_size: the only batch size that is served.

    """

    max_accuracy_drop: float = 1.0
    max_latency_ms: float | None = None
    max_memory_mb: float | None = None
    max_size_mb: float | None = None
    serving_batch_size: int | None = None


class RunSpec(BaseModel):
    """One sweep. Field names are those of the flags, with `_` for `-`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=_hyphenated,
        populate_by_name=True,
    )

    # a description is the flag's help, and `--help` has the flags in this order
    recipes: tuple[str, ...] = Field(min_length=1, description="Recipes, separated by commas.")
    batch_sizes: tuple[BatchSize, ...] = Field(min_length=1, description="Batch sizes, separated by commas.")
    model: str = Field("densenet121", description="Any torchvision classifier.")
    weights: str = Field("auto", description="auto, imagenet, digits, random, or a file.")
    data: str = Field("auto", description="auto, imagenette, digits, none, or a folder of class folders.")
    image_size: int = Field(224, ge=32, le=4096, description="Height and width of the input, in pixels.")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto, cpu or cuda.")
    threads: int | None = Field(
        None,
        ge=1,
        le=4096,
        description="CPU threads; default: one on each physical core of one socket that this process may use.",
    )
    output_dir: Path = Field(
        Path("results"),
        description="Where the results go; an earlier run's are moved to `previous/<time>/` in it.",
    )
    log_dir: Path = Field(
        Path("logs/tensorboard"), description="Where TensorBoard's files and the traces go."
    )
    resume: bool = Field(default=False, description="Go on with the run in the output folder.")
    seed: int = Field(0, ge=0, le=2**32 - 1, description="Seed of everything drawn at random.")
    cell_timeout: float = Field(
        120.0, gt=0, description="Seconds for a process at a batch size; ten times that for a build."
    )
    accuracy_images: Images = Field(
        "all",
        description="Validation images, the same for every recipe: a number, or all that fit in the time.",
    )
    precision_target: float = Field(
        2.0,
        gt=0,
        description="Wanted half-width of intervals, percent: the report says how many rounds would meet it.",
    )
    objective: Objective = Field(
        "throughput", description="What to deploy by: throughput, latency, memory or size."
    )
    serving_batch_size: BatchSize | None = Field(
        None,
        description="The one batch size that is served, measured too. Without it latency and memory are of the "
        "smallest one.",
    )
    max_accuracy_drop: float = Field(
        1.0,
        gt=0,
        le=100,
        description="Top-1 that may be lost, in percentage points, by the upper bound of the loss.",
    )
    max_latency_ms: float | None = Field(
        None,
        gt=0,
        description="Milliseconds that a batch may take: its p95, or its p50 where the sample is too small for one.",
    )
    max_memory_mb: float | None = Field(
        None,
        gt=0,
        description="Memory that the model may take, in MB: GPU memory on CUDA, else that of a program that runs it "
        "alone.",
    )
    max_size_mb: float | None = Field(None, gt=0, description="Size that the saved model may have, in MB.")
    rounds: int = Field(LEAST_ROUNDS, ge=1, le=1000, description="Fresh processes for each row.")
    focus_batch_sizes: tuple[BatchSize, ...] = Field(
        (1, 8), description="Measured in more rounds, in pairs with the baseline; '' for none."
    )
    focus_rounds: int = Field(
        FOCUS_ROUNDS, ge=1, le=1000, description="Fresh processes for each row at a focus batch size."
    )
    trust: bool = Field(default=False, description="Load artifacts with code that was not built here.")
    mlflow: str | None = Field(
        None, min_length=1, description="Log the rows to MLflow too: a folder, or a tracking address."
    )

    # what only a suite file says
    named: dict[str, str] = {}  # recipe name -> its one-line form
    repeats: int = Field(3, ge=0)  # of a process that met interference, at most
    ceilings: bool = True  # whether to find out what the machine can do at most
    sample_time: float = Field(0.5, gt=0)  # seconds of timed batches in each process
    accuracy_time: float = Field(300.0, gt=0)  # seconds that one recipe's accuracy pass may take
    deploy_time: float = Field(10.0, ge=0, le=60)  # seconds of throughput of the README's code; 0: not run
    confirmation_rounds: int = Field(6, ge=0, le=1000)  # fresh rounds for the recommended recipe; 0 for none

    @property
    def limits(self) -> Limits:
        """What a recommended recipe must keep."""
        return Limits(**self.model_dump(include=set(Limits.model_fields)))

    @model_validator(mode="after")
    def _serve_what_is_measured(self) -> RunSpec:
        """The batch size that is served is measured too."""
        served = self.serving_batch_size
        if served is not None and served not in self.batch_sizes:
            object.__setattr__(self, "batch_sizes", (*self.batch_sizes, served))
        return self

    def going_on(self, former: Mapping[str, object]) -> RunSpec:
        """The spec with the objective and the limits of the run that it resumes, where it names none of its own.

        Args:
            former: the spec of that run, as the journal's header has it.

        """
        kept = {
            name: former[name]
            for name in ("objective", *Limits.model_fields)
            if name not in self.model_fields_set and name in former
        }
        return type(self).model_validate({**self.model_dump(), **kept}) if kept else self

    def rounds_at(self, batch_size: int) -> int:
        """In how many rounds recipes are measured at a batch size."""
        return max(self.rounds, self.focus_rounds) if batch_size in self.focus_batch_sizes else self.rounds

    def images_of(self, validation_images: int) -> int:
        """How many of the validation images accuracy is to be measured on, if the time allows."""
        wanted = self.accuracy_images
        return validation_images if wanted == "all" else min(wanted, validation_images)

    @classmethod
    def create(cls, suite: Path | str = "default", **flags: object) -> RunSpec:
        """A spec from a suite and the flags that override it; None means not given.

        Raises:
            UsageError: a value or a key that can't be used, in one line.

        """
        values = read_suite(suite)
        given = {_hyphenated(k): v for k, v in flags.items() if v is not None}
        if isinstance(named := given.get("named"), Mapping):
            given["named"] = values["named"] | named
        values |= given
        if is_onnx_file(str(values.get("model", ""))) and isinstance(values["named"], Mapping):
            values["named"] = {**values["named"], **_shipped("onnx_file")["named"]}
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise UsageError(_one_line(error)) from None


def read_suite(suite: Path | str) -> dict[str, Any]:
    """The keys of a suite: one of those shipped (`default`, `quick`), or a TOML file laid over the default.

    Raises:
        InputError: a file that is missing, not TOML, or has a key that no flag has.

    """
    default = _shipped("default")
    if suite == "default":
        return default
    if suite == "quick":
        return default | _shipped("quick")
    path = Path(suite)
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"suite file {path}: {error.strerror or error}"
        raise InputError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"suite file {path} is not TOML: {error}"
        raise InputError(message) from None
    for key in given:
        if key not in {_hyphenated(name) for name in RunSpec.model_fields}:
            raise InputError(f"suite file {path}: {_unknown(key)}")
    named = given.get("named", {})
    if not isinstance(named, Mapping):
        raise InputError(f"suite file {path}: 'named' must be a table of recipes")
    return default | given | {"named": default["named"] | named}


def _shipped(suite: str) -> dict[str, Any]:
    text = (files("densebench") / "suites" / f"{suite}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def is_onnx_file(model: str) -> bool:
    """Whether `--model` names an ONNX file, and no torchvision model."""
    return model.lower().endswith(".onnx")


def _unknown(key: str) -> str:
    """That a key is none, and what may be meant."""
    if key in GONE:
        return f"the key '{key}' is gone: {GONE[key]}"
    close = get_close_matches(key, sorted(_hyphenated(name) for name in RunSpec.model_fields), n=1)
    return f"unknown key '{key}'" + (f"; did you mean '{close[0]}'?" if close else "")


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else "suite"
    if first["type"] == "extra_forbidden":
        return _unknown(where)
    shown = first.get("input")
    return f"{flag_of(where)}: {first['msg'].lower()} (got {shown!r})"
