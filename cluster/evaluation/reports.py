"""What every evaluation prints and writes: a table or JSON, and a listing of the errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from domain.errors import MedsearchError

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]
Errors = Annotated[
    Path | None,
    typer.Option(
        "--errors", help="Write every error to this file, tab-separated.", metavar="FILE", dir_okay=False
    ),
]


def write_errors(path: Path | None, lines: Iterable[str]) -> None:
    """The listing, when a file was named. Raises `MedsearchError`."""
    if path is None:
        return
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            file.writelines(lines)
    except OSError as error:
        raise MedsearchError(f"{path} cannot be written: {error.strerror}.") from error


def show(figures: Mapping[str, Any], rows: Iterable[Mapping[str, Any]], *, as_json: bool) -> None:
    """`figures` as JSON, or `rows` as a table."""
    if as_json:
        typer.echo(json.dumps(figures, indent=2, ensure_ascii=False))
        return
    listed = list(rows)
    table = Table(*(listed[0] if listed else ()), box=None, padding=(0, 2, 0, 0))
    for row in listed:
        table.add_row(*(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()))
    Console().print(table)
