"""What to run: every flag of `densebench run`, checked and frozen. A suite file holds the same names."""

from __future__ import annotations

import shlex
import tomllib
from collections.abc import Mapping
from difflib import get_close_matches
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from densebench.errors import InputError, UsageError
from densebench.stats.comparison import LEAST_ROUNDS, LOOK_FROM

# keys of a suite that are no flags of the command line
FILE_ONLY = {"named", "repeats", "ceilings", "sample_time", "accuracy_time"}
BatchSize = Annotated[int, Field(ge=1, le=65536)]


def _hyphenated(name: str) -> str:
    return name.replace("_", "-")


class RunSpec(BaseModel):
    """One sweep. Field names are those of the flags, with `_` for `-`."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        alias_generator=_hyphenated,
        populate_by_name=True,
    )

    recipes: tuple[str, ...] = Field(min_length=1)
    batch_sizes: tuple[BatchSize, ...] = Field(min_length=1)
    named: dict[str, str] = {}  # recipe name -> its one-line form
    model: str = "densenet121"
    weights: str = "auto"
    data: str = "auto"
    image_size: int = Field(224, ge=32, le=4096)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int | None = Field(None, ge=1, le=4096)
    output_dir: Path = Path("results")
    log_dir: Path = Path("logs/tensorboard")
    resume: bool = False
    seed: int = Field(0, ge=0, le=2**32 - 1)
    cell_timeout: float = Field(120.0, gt=0)  # seconds
    rounds: int = Field(LEAST_ROUNDS, ge=1, le=1000)  # fresh processes of each recipe at each batch size
    focus_batch_sizes: tuple[BatchSize, ...] = (1, 8)  # where rounds go on until --precision-target is met
    focus_time: float = Field(30.0, ge=0)  # seconds that these further rounds may take, for each of them
    repeats: int = Field(3, ge=0)  # disturbed blocks of a row that are measured again, at most
    ceilings: bool = True  # whether to find out what the machine can do at most
    sample_time: float = Field(0.5, gt=0)  # seconds of timed batches in each process
    accuracy_time: float = Field(300.0, gt=0)  # seconds that one recipe's accuracy pass may take
    precision_target: float = Field(2.0, gt=0)  # percent
    max_accuracy_drop: float = Field(1.0, ge=0)  # percentage points
    trust: bool = False
    mlflow: str | None = Field(None, min_length=1)  # a folder or a tracking address

    def least_rounds(self, batch_size: int) -> int:
        """Rounds that a batch size is measured in whatever comes of them."""
        return max(self.rounds, LOOK_FROM) if batch_size in self.focus_batch_sizes else self.rounds

    @classmethod
    def create(cls, suite: Path | str = "default", **flags: Any) -> RunSpec:
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
    known = {_hyphenated(name) for name in RunSpec.model_fields}
    for key in given:
        if key not in known:
            raise InputError(f"suite file {path}: unknown key '{key}'" + _nearest(key, known))
    named = given.get("named", {})
    if not isinstance(named, Mapping):
        raise InputError(f"suite file {path}: 'named' must be a table of recipes")
    return default | given | {"named": default["named"] | named}


def _shipped(suite: str) -> dict[str, Any]:
    text = (files("densebench") / "suites" / f"{suite}.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)


def command_of(suite: Path | str, flags: Mapping[str, Any]) -> str:
    """What does the same as `densebench.run(suite, **flags)`, to be typed into a shell."""
    given = {name: value for name, value in flags.items() if value is not None}
    if FILE_ONLY & set(given):
        told = "".join(f", {name}={_plain(value)!r}" for name, value in given.items())
        return shlex.join(["python", "-c", f"import densebench; densebench.run({_plain(suite)!r}{told})"])
    words = ["densebench", "run"]
    if suite != "default":
        words += ["--quick"] if suite == "quick" else ["--suite", str(suite)]
    for name, value in given.items():
        flag, plain = f"--{_hyphenated(name)}", _plain(value)
        if isinstance(plain, bool):
            words += [flag] if plain else []
        else:
            words += [flag, ",".join(map(str, plain)) if isinstance(plain, list) else str(plain)]
    return shlex.join(words)


def _plain(value: object) -> object:
    """As it is written in Python without an import."""
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple | set | frozenset) else value


def is_onnx_file(model: str) -> bool:
    """Whether `--model` names an ONNX file, and no torchvision model."""
    return model.lower().endswith(".onnx")


def _nearest(word: str, known: set[str]) -> str:
    close = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


def _one_line(error: ValidationError) -> str:
    first = error.errors()[0]
    where = str(first["loc"][0]) if first["loc"] else "suite"
    if first["type"] == "extra_forbidden":
        return f"unknown key '{where}'" + _nearest(
            where, {_hyphenated(name) for name in RunSpec.model_fields}
        )
    shown = first.get("input")
    return f"--{_hyphenated(where)}: {first['msg'].lower()} (got {shown!r})"
