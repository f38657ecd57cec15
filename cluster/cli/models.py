"""`medsearch models`: what recognises and embeds here, whether it is whole, and how fast. Needs no running platform."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from cluster.cli.platform import readable_errors
from cluster.evaluation.reports import AsJson, show
from config.loading import load_settings
from config.settings import NumberType

MIB = 1024**2

app = typer.Typer(help="The models: which there are, whether they are whole, how fast.", no_args_is_help=True)


def register(commands: typer.Typer) -> None:
    """Add the group to the application."""
    commands.add_typer(app, name="models")


@app.callback()
def models() -> None:
    """The models: which there are, whether they are whole, how fast."""


@app.command(name="list")
def list_models(as_json: AsJson = False) -> None:
    """Say which models are shipped and which the settings choose, and what is wrong with those."""
    from cluster.evaluation.inventory import listed

    with readable_errors():
        found = list(listed(load_settings().settings.models))
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
        return
    rows = [
        {
            "": "*" if one.in_use else "",
            "kind": one.kind,
            "setting": one.setting,
            "model": one.model or "-",
            "MiB": round(one.weights_bytes / MIB),
            "state": one.trouble or "ok",
        }
        for one in found
    ]
    show({}, rows, as_json=False)


@app.command()
def verify(as_json: AsJson = False) -> None:
    """Check the files of the chosen models, load them, try them, and say how much memory they take."""
    from cluster.evaluation.inventory import loaded

    with readable_errors():
        settings = load_settings().settings
        parts = list(loaded(settings.models, settings.models_path))
    rows = [
        {
            "what": one.kind,
            "model": one.model,
            "runtime": one.runtime,
            "seconds": round(one.seconds, 1),
            "MiB": round(one.memory_bytes / MIB),
        }
        for one in parts
    ]
    show({"loaded": [asdict(one) for one in parts]}, rows, as_json=as_json)


@app.command()
def benchmark(
    passages: Annotated[int, typer.Option(help="How many are embedded in a round.", min=2)] = 128,
    tokens: Annotated[int, typer.Option(help="Tokens of each.", min=3)] = 122,
    threads: Annotated[
        int | None, typer.Option(help="Threads. Default: models.threads of the settings.", min=1)
    ] = None,
    rounds: Annotated[int, typer.Option(help="How often; the types take turns.", min=1)] = 5,
    number_type: Annotated[
        list[NumberType] | None,
        typer.Option(
            help="May be repeated; others are compared to the first. Default: what suits the device."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Embed passages of the demo in several number types: passages a second, memory, agreement of the vectors."""
    from cluster.evaluation.runtimes import demo_passages, measure, number_types

    with readable_errors():
        settings = load_settings().settings.models
        settings = settings.model_copy(update={"threads": threads or settings.threads})
        types = list(dict.fromkeys(number_type or number_types(settings.device)))
        texts = demo_passages(settings, count=passages, tokens=tokens)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            task = progress.add_task("Embedding", total=rounds * len(types))
            figures = measure(settings, texts, types, rounds=rounds, advance=lambda: progress.advance(task))
    rows = [
        {
            "runtime": one.runtime,
            "passages/s": round(one.passages_per_second, 1),
            "ratio": round(one.ratio, 2),
            "MiB": round(one.memory_bytes / MIB),
            "mean cosine": f"{one.mean_cosine:.4f}",
            "least": f"{one.least_cosine:.4f}",
            "nearest 10 shared": f"{one.nearest_overlap:.3f}",
        }
        for one in figures
    ]
    about = {"passages": passages, "tokens": tokens, "threads": settings.threads, "rounds": rounds}
    show({**about, "runtimes": [asdict(one) for one in figures]}, rows, as_json=as_json)
