"""`medsearch evaluate assertion`: polarity, certainty, temporality and experiencer on labelled mentions."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cluster.cli.platform import readable_errors
from cluster.evaluation.reports import AsJson, Errors, show, write_errors
from models.assertion.context import ContextRules
from models.evaluation.assertion import AXES, evaluate, listing, read_judged


def assertion(
    data: Annotated[
        Path,
        typer.Option(
            "--data",
            help="Tab-separated, with a header: text start end polarity certainty temporality experiencer.",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
        ),
    ],
    articles: Annotated[
        bool, typer.Option("--articles", help="The texts are of scientific articles, not of notes.")
    ] = False,
    as_json: AsJson = False,
    errors: Errors = None,
) -> None:
    """F1 by class of the assertion rules. An empty value is not judged; offsets are half-open code points."""
    with readable_errors():
        rows = read_judged(data)
        model = ContextRules()
        began = time.perf_counter()
        scores = evaluate(model, rows, articles=articles)
        seconds = time.perf_counter() - began
        write_errors(errors, listing(scores.differences))
    classes = [
        {"axis": axis, "class": value, **counts.figures()} for (axis, value), counts in scores.classes.items()
    ]
    figures = {
        "model": model.name,
        "mentions": scores.mentions,
        "mentions_per_second": round(scores.mentions / seconds),
        "accuracy": {axis: round(scores.accuracy(axis), 4) for axis in AXES if scores.judged(axis)},
        "classes": classes,
    }
    show(figures, classes, as_json=as_json)
    if not as_json:
        typer.echo(f"{scores.mentions} mentions, {figures['mentions_per_second']}/s, {model.name}")
