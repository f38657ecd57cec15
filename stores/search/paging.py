"""Deep paging without limit over an engine that orders hits by one key and breaks ties as it likes.

The order is (key, identity). A page is read as a stretch of the engine's ranking, widened until no tie is cut, and
a position is a hit's own (key, identity) with its rank as a hint: pages stay complete and without repetitions, and
documents that come or go between two pages move nothing but themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, NamedTuple

Address = Any


class Ranked(NamedTuple):
    """A hit in its place: ascending `(key, identity)` is the order; keys are all numbers or all strings."""

    key: Any
    identity: Any
    address: Address


@dataclass(frozen=True, slots=True)
class Position:
    """Behind this hit; `rank` hits were before the next one when it was given."""

    key: Any
    identity: Any
    rank: int


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hits `start` to `start + len(hits)` in the engine's order (ascending keys), of `total`."""

    hits: Sequence[Ranked]
    total: int


Fetch = Callable[[int, int], Stretch]
"""(start, stop) -> that stretch of the engine's ranking."""


def page(fetch: Fetch, *, limit: int, after: Position | None = None) -> tuple[list[Ranked], int, int]:
    """The next `limit` hits, the rank of the first one, and the total."""
    start = max(0, after.rank - 2) if after else 0
    stop = start + limit + 3
    step = limit + 1
    while True:
        stretch = fetch(start, stop)
        hits = sorted(stretch.hits, key=_order)
        ahead = [hit for hit in hits if after is None or _order(hit) > (after.key, after.identity)]
        low_open = start > 0 and not (hits and after and hits[0].key < after.key)
        high_open = stop < stretch.total and not _closed(ahead, limit)
        if not low_open and not high_open:
            return ahead[:limit], start + len(hits) - len(ahead), stretch.total
        start = max(0, start - step) if low_open else start
        stop = stop + step if high_open else stop
        step *= 2


def _closed(ahead: Sequence[Ranked], limit: int) -> bool:
    """Whether no hit beyond the stretch can belong among the first `limit`."""
    return len(ahead) > limit and ahead[-1].key > ahead[limit - 1].key


_order = attrgetter("key", "identity")
