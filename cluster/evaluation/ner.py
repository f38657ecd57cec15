"""What `medsearch evaluate ner` prints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.table import Table

from models.evaluation.ner import NerResult, SpanFigures


def as_record(result: NerResult, recogniser: str) -> dict[str, Any]:
    """The figures for programs."""
    by_type = {kind.value: _figures(own) for kind, own in result.by_type.items()}
    return {"recogniser": recogniser, "types": by_type, "micro": _figures(result.micro)}


def table(result: NerResult, recogniser: str) -> Table:
    """The figures for people."""
    made = Table(title=recogniser)
    for name in ("type", "precision", "recall", "F1", "gold", "found"):
        made.add_column(name, justify="left" if name == "type" else "right")
    for name, own in [*((kind.value, own) for kind, own in result.by_type.items()), ("micro", result.micro)]:
        figures = (f"{figure:.3f}" for figure in (own.precision, own.recall, own.f1))
        made.add_row(name, *figures, str(own.gold), str(own.found))
    return made


def listing(result: NerResult) -> Iterator[str]:
    """A line for each mistake: tab-separated."""
    yield "kind\ttype\ttext\tstart\tend\tsurface\n"
    for each in result.mistakes:
        surface = " ".join(each.surface.split())
        yield f"{each.kind}\t{each.type.value}\t{each.text}\t{each.start}\t{each.end}\t{surface}\n"


def _figures(own: SpanFigures) -> dict[str, float | int]:
    figures = {"precision": own.precision, "recall": own.recall, "f1": own.f1}
    return {
        **{name: round(value, 4) for name, value in figures.items()},
        "gold": own.gold,
        "found": own.found,
        "right": own.right,
    }
