"""`medsearch evaluate linking`: names of clinical things to the codes of the terminologies."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from cluster.cli.platform import readable_errors
from cluster.evaluation.reports import AsJson, Errors, show, write_errors
from config.loading import load_settings


def linking(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Tab-separated, with a header: text concept. Several right concepts stand with | between.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    as_json: AsJson = False,
    errors: Errors = None,
) -> None:
    """Accuracy@1 and @5 of linking, how often it abstains, and how often it is right when it does not."""
    from models.evaluation.linking import evaluate, listing, read_named
    from models.linking import load_linker
    from models.terminology import ensure_vocabulary

    with readable_errors():
        rows = read_named(data)
        cache = load_settings().settings.models_path
        vocabulary = ensure_vocabulary(cache)
        with Progress(console=Console(stderr=True), transient=True) as progress:
            building = progress.add_task("Building the index of names", total=None)
            linker = load_linker(
                vocabulary,
                cache_dir=cache,
                progress=lambda done, total: progress.update(building, completed=done, total=total),
            )
        began = time.perf_counter()
        scores = evaluate(linker.ranked, rows)
        seconds = time.perf_counter() - began
        write_errors(errors, listing(scores, vocabulary.parents))
    figures = {"model": linker.name, **scores.figures(), "texts_per_second": round(len(rows) / seconds)}
    rows_shown = [{"figure": name, "value": value} for name, value in scores.figures().items()]
    show(figures, rows_shown, as_json=as_json)
    if not as_json:
        typer.echo(f"{figures['texts_per_second']} texts/s, {linker.name}")
