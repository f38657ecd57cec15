"""Deep paging over an engine that breaks ties as it likes, differently after every change."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from stores.search.paging import Position, Ranked, Stretch, page


class Engine:
    """Orders `(key, identity)` pairs by key; ties fall as they are shuffled."""

    def __init__(self, hits: list[tuple[int, int]], seed: int) -> None:
        shuffled = random.Random(seed).sample(hits, len(hits))
        self.hits = sorted(shuffled, key=lambda hit: hit[0])
        self.fetched = 0

    def fetch(self, start: int, stop: int) -> Stretch:
        hits = self.hits[start:stop]
        self.fetched += len(hits)
        return Stretch([Ranked(key, identity, (key, identity)) for key, identity in hits], len(self.hits))


hits = st.lists(st.integers(0, 4), max_size=40).map(
    lambda keys: [(key, number) for number, key in enumerate(keys)]
)


@given(hits=hits, limit=st.integers(1, 9), seed=st.integers(0, 5))
def test_pages_follow_one_order_whatever_the_ties(hits: list[tuple[int, int]], limit: int, seed: int) -> None:
    seen: list[tuple[int, int]] = []
    after = None
    while True:
        got, rank, total = page(Engine(hits, seed + len(seen)).fetch, limit=limit, after=after)
        assert total == len(hits)
        if not got:
            break
        assert rank == len(seen)
        seen += [hit.address for hit in got]
        after = Position(got[-1].key, got[-1].identity, rank + len(got))
    assert seen == sorted(hits)


@given(hits=hits, gone=st.sets(st.integers(0, 39)), new=st.integers(0, 15), limit=st.integers(1, 9))
def test_what_comes_and_goes_between_pages_moves_nothing_else(
    hits: list[tuple[int, int]], gone: set[int], new: int, limit: int
) -> None:
    got, rank, _ = page(Engine(hits, 0).fetch, limit=limit)
    if not got:
        return
    after = Position(got[-1].key, got[-1].identity, rank + len(got))
    changed = [hit for hit in hits if hit[1] not in gone] + [
        (number % 5, 100 + number) for number in range(new)
    ]
    rest, _, total = page(Engine(changed, 1).fetch, limit=len(changed) + 1, after=after)
    assert [hit.address for hit in rest] == sorted(hit for hit in changed if hit > got[-1].address)
    assert total == len(changed)


def test_a_page_deep_inside_reads_little() -> None:
    engine = Engine([(number, number) for number in range(100_000)], 0)
    got, _, _ = page(engine.fetch, limit=10, after=Position(50_000, 50_000, 50_001))
    assert [hit.key for hit in got] == list(range(50_001, 50_011))
    assert engine.fetched < 20
