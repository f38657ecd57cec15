"""Abbreviations that a document defines itself: "chronic kidney disease (CKD)".

A simple form of Schwartz and Hearst (2003), started from names that are recognised already.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from models.terminology.names import abbreviates

_IN_PARENTHESES = re.compile(r"\s{0,2}\(\s?([A-Za-z][A-Za-z0-9]{1,9})s?\s?[);,]")
_MIN_CAPITALS = 2


@dataclass(frozen=True, slots=True)
class Definition:
    """`short` stands for the name at `index` of those given."""

    short: str
    index: int


def definitions(text: str, names: Sequence[tuple[int, int]]) -> Iterator[Definition]:
    """Definitions right behind the given spans of `text`."""
    for index, (start, end) in enumerate(names):
        match = _IN_PARENTHESES.match(text, end)
        if match and _is_definition(match[1], text[start:end]):
            yield Definition(match[1], index)


def _is_definition(short: str, long: str) -> bool:
    return (
        sum(map(str.isupper, short)) >= _MIN_CAPITALS and len(long) > len(short) and abbreviates(short, long)
    )
