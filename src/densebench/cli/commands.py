"""The commands that don't run a sweep: on saved models, on results, and on logs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from densebench.cli.help import DefaultsCommand
from densebench.errors import DensebenchError, UsageError, remedy

models = typer.Typer()


@models.command(cls=DefaultsCommand)
def compare(
    a: Annotated[Path, typer.Argument(help="The results folder to compare with.", metavar="A")],
    b: Annotated[Path, typer.Argument(help="The results folder in question.", metavar="B")],
    fail_on_slower: Annotated[
        float | None,
        typer.Option(
            help="Exit 1 if a row is surely slower by more percent, or broke, or nobody can tell.",
            metavar="PCT",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON; the rest on stderr.")] = False,
) -> None:
    """Two results folders, row by row: whether B is faster or slower than A."""
    from densebench.cli.compare_table import print_comparison

    console = Console(stderr=as_json)
    raise typer.Exit(print_comparison(a, b, console, fail_on_slower=fail_on_slower, as_json=as_json))


@models.command(cls=DefaultsCommand)
def train(
    output_dir: Annotated[
        Path | None, typer.Option(help="Where the checkpoints go; default: into the package.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Train this checkpoint alone.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the training.")] = 0,
) -> None:
    """Train the embedded digits checkpoints again, from nothing."""
    from densebench.files import check_writable
    from densebench.workloads.digits import CHECKPOINTS
    from densebench.workloads.training import train as fit

    folder = output_dir or CHECKPOINTS
    check_writable(folder)  # training takes minutes
    try:
        for made in fit(folder, seed=seed, only=only, progress=lambda step: print(step, flush=True)):
            print(made)
    except OSError as error:
        raise DensebenchError(
            f"{folder} can't be written ({error.strerror or error}): {remedy(error)}, or name another --output-dir"
        ) from error


@models.command(cls=DefaultsCommand)
def predict(
    artifact: Annotated[Path, typer.Argument(help="A saved model's folder.")],
    images: Annotated[list[Path], typer.Argument(help="Image files.")],
    trust: Annotated[bool, typer.Option("--trust", help="Load code that was not built here.")] = False,
) -> None:
    """Load a saved model and print its top five classes for each image."""
    from densebench.cli.predict import print_predictions

    print_predictions(artifact, images, Console(), trust=trust)


@models.command(cls=DefaultsCommand)
def load(
    artifact: Annotated[Path, typer.Argument(help="A saved model's folder.")],
    scenario: Annotated[str, typer.Option(help="single-stream, offline or server.")],
    target_p99_ms: Annotated[
        float | None, typer.Option(help="Server: the p99 latency to hold; default: 50.")
    ] = None,
    seconds: Annotated[float, typer.Option(help="How long one run lasts, about.")] = 10.0,
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Offline: images of one inference; default: 8.")
    ] = None,
    streams: Annotated[int, typer.Option(min=1, help="Processes that answer, which share the threads.")] = 1,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads; default: one on each physical core of one socket.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of arrivals and images.")] = 0,
    trust: Annotated[bool, typer.Option("--trust", help="Load code that was not built here.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """Put a saved model under load: one query at a time, all at once, or as they come to a server."""
    from densebench.loadtest.asking import Asked
    from densebench.loadtest.printing import print_load

    asked = Asked(artifact, scenario, target_p99_ms, seconds, batch_size, streams, threads, seed, trust)
    print_load(asked, Console(), as_json=as_json)


@models.command(cls=DefaultsCommand)
def export(
    artifact: Annotated[Path, typer.Argument(help="A saved model's folder.")],
    directory: Annotated[Path, typer.Argument(help="The model repository to add it to.")],
    to: Annotated[str, typer.Option("--format", help="triton.")] = "triton",
    trust: Annotated[bool, typer.Option("--trust", help="Take code that was not built here.")] = False,
) -> None:
    """Write a saved model the way a server wants it: a Triton model repository."""
    from densebench.artifacts.triton import export_triton

    if to != "triton":
        raise UsageError(f"--format is triton (got '{to}')")
    print(export_triton(artifact, directory, trust=trust))


@models.command(cls=DefaultsCommand)
def view(
    log_dir: Annotated[Path, typer.Option(help="The log folder of a run.")] = Path("logs/tensorboard"),
    port: Annotated[int, typer.Option(help="TensorBoard's port; 0 for any free one.")] = 6006,
    profiler_port: Annotated[int, typer.Option(help="The profile viewer's port; 0 for any free one.")] = 6007,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    any_port: Annotated[
        bool, typer.Option("--any-port", help="Take the next free port where one is taken.")
    ] = False,
) -> None:
    """TensorBoard and the profile viewer on a run's logs, until Ctrl-C."""
    from densebench.viewer.serve import view as serve

    serve(log_dir, port, profiler_port, host, any_port=any_port)
