"""Which passages of a document are shown, and in which order: what satisfies the filters, then words, then text order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from domain.search import Filters, StoredPassage
from stores.search.conditions import satisfies


def chosen(
    satisfying: Sequence[StoredPassage],
    best: Iterable[StoredPassage],
    named: Iterable[StoredPassage],
    *,
    filters: Filters,
    per_document: int,
) -> list[StoredPassage]:
    """At most `per_document`, filled up with the `best` ones, and the `named` ones in any case."""
    mine = {passage.ordinal: passage for passage in satisfying[:per_document]}
    for passage in best:
        if len(mine) < per_document:
            mine.setdefault(passage.ordinal, passage)
    for passage in named:
        mine.setdefault(passage.ordinal, passage)
    return sorted(mine.values(), key=lambda one: (not satisfies(one, filters), -one.score, one.ordinal))
