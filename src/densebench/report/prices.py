"""What an hour of each machine costs, from a TOML file."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import ConfigDict, Field, ValidationError

from densebench.errors import InputError
from densebench.schema import Frozen


class Prices(Frozen):
    """What an hour of each run's machine costs.

    Attributes:
        currency: its name, as it is printed.
        per_hour: by the name of the results folder.

    """

    model_config = ConfigDict(extra="forbid")
    currency: str = Field(min_length=1, max_length=8)
    per_hour: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]]


def read_prices(path: Path) -> Prices:
    """Prices from a TOML file: `currency = "EUR"` and a table `[per_hour]`.

    Raises:
        InputError: it can't be read, or isn't such a file.

    """
    try:
        return Prices.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise InputError(f"--prices {path}: {error.strerror or error}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"--prices {path} is not TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(f"--prices {path}: {where}: {first['msg'].lower()}") from None
