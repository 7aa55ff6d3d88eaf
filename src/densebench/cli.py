"""The command line: arguments in, calls out. What the commands do is in the modules they name."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from densebench.commands import models
from densebench.errors import DensebenchError, UsageError

app = typer.Typer(
    name="densebench",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Which optimization should I deploy my image classifier with, on this hardware, and may I trust the "
    "answer?\n\nStart with `densebench doctor`, then `densebench run --quick`, then `densebench run`.",
)

_RUN_HELP = """
Measure every recipe at every batch size, save each model, and report.

A recipe is a stack of techniques and one engine: `channels_last`, `bf16+jit`, `pruning:amount=0.5+compile`.
`densebench list` names them all.

Examples:

    densebench run --quick                                   # a first look, in minutes

    densebench run --recipes channels_last+bf16+compile --batch-sizes 1,8

    densebench run --model resnet18 --weights model.safetensors --data images/val

    densebench run --dry-run                                 # what would run, how long, how much disk

Exit codes: 0 all rows asked for are ok or skipped; 1 one failed; 2 bad input, nothing written; 130 interrupted.
"""


def _list(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _sizes(text: str | None, flag: str = "--batch-sizes") -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in text.split(",") if part.strip()]
    except ValueError:
        raise UsageError(
            f"{flag}: whole numbers separated by commas, such as 1,8,32 (got '{text}')"
        ) from None


@app.command(help=_RUN_HELP)
def run(
    recipes: Annotated[str | None, typer.Option(help="Recipes, separated by commas.")] = None,
    batch_sizes: Annotated[str | None, typer.Option(help="Batch sizes, separated by commas.")] = None,
    model: Annotated[str | None, typer.Option(help="Any torchvision classifier.")] = None,
    weights: Annotated[str | None, typer.Option(help="auto, imagenet, digits, random, or a file.")] = None,
    data: Annotated[
        str | None, typer.Option(help="auto, imagenette, digits, none, or a folder of class folders.")
    ] = None,
    image_size: Annotated[int | None, typer.Option(help="Height and width of the input, in pixels.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads; default: all that this process may use.")
    ] = None,
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Where the results go; an earlier run's are moved to previous/<time>/ in it."),
    ] = None,
    log_dir: Annotated[Path | None, typer.Option(help="Where TensorBoard's files and the traces go.")] = None,
    suite: Annotated[
        str | None, typer.Option(help="A TOML file with these flags as keys; see the README.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small images, one batch size: a first look.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, with time and disk.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in the output folder.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything drawn at random.")] = None,
    cell_timeout: Annotated[
        float | None, typer.Option(help="Seconds for a process at a batch size; ten times that for a build.")
    ] = None,
    precision_target: Annotated[
        float | None, typer.Option(help="Wanted half-width of intervals, percent.")
    ] = None,
    max_accuracy_drop: Annotated[
        float | None, typer.Option(help="Top-1 that may be lost, percentage points.")
    ] = None,
    rounds: Annotated[
        int | None, typer.Option(help="Fresh processes for each row; at focus batch sizes at least 5.")
    ] = None,
    focus_batch_sizes: Annotated[
        str | None, typer.Option(help="Where rounds go on until the precision target is met; '' for nowhere.")
    ] = None,
    focus_time: Annotated[
        float | None,
        typer.Option(help="Seconds that these further rounds may take, times the number of those."),
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Load artifacts with code that was not built here.")
    ] = False,
    mlflow: Annotated[
        str | None, typer.Option(help="Log the rows to MLflow too: a folder, or a tracking address.")
    ] = None,
) -> None:
    from densebench import suite as sweep
    from densebench.sinks.console import Progress
    from densebench.spec import RunSpec

    if quick and suite:
        raise UsageError("--quick and --suite are both suites: give one")
    flags: dict[str, Any] = {
        "recipes": _list(recipes),
        "batch_sizes": _sizes(batch_sizes),
        "model": model,
        "weights": weights,
        "data": data,
        "image_size": image_size,
        "device": device,
        "threads": threads,
        "output_dir": output_dir,
        "log_dir": log_dir,
        "resume": resume or None,
        "seed": seed,
        "cell_timeout": cell_timeout,
        "precision_target": precision_target,
        "max_accuracy_drop": max_accuracy_drop,
        "rounds": rounds,
        "focus_batch_sizes": _sizes(focus_batch_sizes, "--focus-batch-sizes"),
        "focus_time": focus_time,
        "trust": trust or None,
        "mlflow": mlflow,
    }
    spec = RunSpec.create("quick" if quick else suite or "default", **flags)
    console = Console()
    if dry_run:
        from densebench.estimate import print_estimate

        print_estimate(spec, console)
        return
    outcome = sweep.run(spec, Progress(console), sweep.command_line())
    _show(outcome.rows, spec.max_accuracy_drop, console, [*outcome.written, spec.log_dir])
    raise typer.Exit(outcome.exit_code)


def _show(rows: list[Any], limit: float, console: Console, paths: list[Path]) -> None:
    from densebench.report import recommendation_of
    from densebench.sinks.table import print_table

    print_table(rows, console, recommendation=recommendation_of(rows, limit), paths=paths)


@app.command("list")
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Recipes, techniques and engines, and whether each can run here."""
    from densebench.overview import print_catalogue

    print_catalogue(Console(), as_json=as_json)


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The machine: processor, GPU, libraries, engines, and what would make timings unreliable here."""
    from densebench.overview import print_doctor

    print_doctor(Console(), as_json=as_json)


@app.command()
def report(directory: Annotated[Path, typer.Argument(help="A results folder.")]) -> None:
    """Write the report again, from the records in a results folder."""
    from densebench.folders import CSV, disk_explained
    from densebench.report import write_report
    from densebench.rows import derive
    from densebench.sinks import journal
    from densebench.sinks.csv_file import write_csv

    header, records = journal.read(directory)
    rows = derive(records, header.spec.get("recipes", ()), known=header.known)
    with disk_explained(directory):
        write_csv(directory / CSV, rows)
        paths = [directory / CSV, *write_report(directory, header, rows)]
    _show(rows, float(header.spec.get("max_accuracy_drop", 1.0)), Console(), paths)


app.add_typer(models)


def main() -> NoReturn:
    """Run the command line; errors meant for people become one line and exit 2."""
    # `docker stop` and a closed terminal end a command as Ctrl-C does: what is finished stays, the rest goes
    for stop in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(stop) is not signal.SIG_IGN:  # `nohup` means that the terminal may close
            signal.signal(stop, signal.default_int_handler)
    try:
        sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except TyperException as error:  # an unknown flag, a word where a number should be
        _complain(error.format_message(), 2)
    except UsageError as error:
        _complain(error, 2)
    except DensebenchError as error:
        _complain(error, 1)
    except PermissionError as error:
        _complain(f"{error.filename}: {error.strerror}; check who may use it, or name another place", 2)
    except KeyboardInterrupt:
        sys.exit(130)


def _complain(error: object, code: int) -> NoReturn:
    print(f"densebench: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(code)
