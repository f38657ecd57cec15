"""`medsearch evaluate ...`: how good the models are on files of one's own. Needs no running platform."""

from __future__ import annotations

import typer

from cluster.evaluation.assertion import assertion

EVALUATIONS = (assertion,)
"""Commands by their names, sorted, here and in the imports."""


def register(app: typer.Typer) -> None:
    """Add the group of commands to the application."""
    group = typer.Typer(help="Measure the models on labelled files.", no_args_is_help=True)
    group.callback()(evaluate)
    for command in EVALUATIONS:
        group.command()(command)
    app.add_typer(group, name="evaluate")


def evaluate() -> None:
    """Measure the models on labelled files; no running platform is needed."""
