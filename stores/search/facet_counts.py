"""Facets: which field of a root each one counts, and buckets of an engine as counts of the port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from domain.errors import Invalid
from domain.search import FacetCount
from stores.search.records import LABELLED

FIELDS = {
    "concept": "facet_concepts",
    "document_type": "document_type",
    "department": "department",
    "year": "year",
    "section": "sections",
}


def known(facets: Sequence[str]) -> Sequence[str]:
    """The facets as given; raises `Invalid` for one that does not exist."""
    for name in facets:
        if name not in FIELDS:
            raise Invalid(
                f"There is no facet '{name}': choose among {', '.join(FIELDS)}.", code="search.unknown_facet"
            )
    return facets


def counted(buckets: Iterable[tuple[str, int]], size: int) -> list[FacetCount]:
    """Most frequent first, ties by value. One value under two labels is one value, as a document has one of them."""
    counts: Counter[str] = Counter()
    labels: dict[str, str | None] = {}
    for term, count in buckets:
        value, _, label = term.partition(LABELLED)
        counts[value] += count
        labels.setdefault(value, label or None)
    ordered = sorted(counts, key=lambda value: (-counts[value], value))
    return [FacetCount(value, counts[value], labels[value]) for value in ordered[:size]]
