"""The command line: arguments in, calls out. What the commands do is in the modules they name."""

from __future__ import annotations

import json
import shlex
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from typer.exceptions import TyperException

from densebench.cli.commands import models
from densebench.cli.flags import OF_A_DECISION, OF_A_RUN, given, with_flags
from densebench.cli.help import DefaultsCommand, OfTheRunCommand, SuiteCommand
from densebench.errors import DensebenchError, UsageError
from densebench.spec import RunSpec

if TYPE_CHECKING:
    from densebench.report.sweep import Sweep

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

_JSON = "The decision and the rows as JSON on the standard output; all else on the standard error."


@app.command(help=_RUN_HELP, cls=SuiteCommand)
@with_flags(*OF_A_RUN)
def run(
    *,
    suite: Annotated[
        str | None, typer.Option(help="A TOML file with these flags as keys; see docs/usage.md.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Small images, one batch size: a first look.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would run, with time and disk.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=_JSON)] = False,
    **flags: object,
) -> None:
    from densebench import loop
    from densebench.report.facts import sweep_of
    from densebench.sinks.progress import Progress

    if quick and suite:
        raise UsageError("--quick and --suite are both suites: give one")
    spec = RunSpec.create("quick" if quick else suite or "default", **given(flags))
    console = Console(stderr=as_json)
    if dry_run:
        from densebench.cli.dry_run import print_estimate

        print_estimate(spec, console)
        return
    outcome = loop.run(spec, Progress(console), command_line())
    shown = sweep_of(outcome.header, outcome.rows, outcome.confirmation)
    _show(shown, console, outcome.written, as_json=as_json)
    viewers = shlex.join([_program(), "view", "--log-dir", str(spec.log_dir)])
    console.print(
        f"TensorBoard on port 6006, profiles on 6007: {viewers}",
        soft_wrap=True,
        highlight=False,
        markup=False,
    )
    raise typer.Exit(outcome.exit_code)


def _program() -> str:
    """How this program was called, if it was called by its own name."""
    return sys.argv[0] if Path(sys.argv[0]).name == "densebench" else "densebench"


def _show(sweep: Sweep, console: Console, paths: Sequence[Path], *, as_json: bool) -> None:
    from densebench.cli.table import print_table
    from densebench.report import answer_in_words
    from densebench.report.answer import answer

    print_table(sweep.rows, console, recommendation=answer_in_words(sweep), paths=paths)
    if as_json:
        print(json.dumps(answer(sweep), indent=1))


@app.command("list", cls=DefaultsCommand)
def list_(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Recipes, techniques and engines, and whether each can run here."""
    from densebench.cli.overview import print_catalogue

    print_catalogue(Console(), as_json=as_json)


@app.command(cls=DefaultsCommand)
def doctor(as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """The machine: processor, GPU, libraries, engines, and what would make timings unreliable here."""
    from densebench.cli.overview import print_doctor

    print_doctor(Console(), as_json=as_json)


@app.command(cls=OfTheRunCommand)
@with_flags(*OF_A_DECISION)
def report(
    *,
    directories: Annotated[
        list[Path], typer.Argument(help="A results folder, or several.", metavar="DIR...")
    ],
    output_dir: Annotated[
        Path | None,
        typer.Option(help="Of several folders: where the one report over all goes; default: across."),
    ] = None,
    prices: Annotated[
        Path | None, typer.Option(help="Of several folders: TOML with the price of an hour of each machine.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help=_JSON)] = False,
    **flags: object,
) -> None:
    """Write the report again, from the journal in a results folder; of several folders, one report over all."""
    from densebench.cli.report import write_across, write_again

    if len(directories) > 1:
        if as_json:
            raise UsageError("--json is for one results folder: name one, or leave --json out")
        print(write_across(directories, output_dir or Path("across"), prices, given(flags)))
        return
    if prices or output_dir:
        raise UsageError(
            "--prices and --output-dir are for several results folders: name more, or leave them out"
        )
    shown, paths = write_again(directories[0], given(flags))
    _show(shown, Console(stderr=as_json), paths, as_json=as_json)


app.add_typer(models)


def command_line() -> str:
    """The command that started this process, to print in the report."""
    return shlex.join(["densebench", *sys.argv[1:]])


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
