"""Stored forms come back as they were, orders and facets are what they say."""

from __future__ import annotations

import json
from datetime import date

import pytest

from domain.errors import Invalid
from domain.search import FacetCount, Filters, Generation, SortKey
from domain.text import Assertion
from stores.search import records
from stores.search.conditions import documents
from stores.search.facet_counts import counted, known
from tests.contract.conformance.letters import (
    ASTHMA,
    FAMILY,
    NEGATED,
    PNEUMONIA,
    Letter,
    Part,
    everything,
    letter,
)

FULL = Letter(
    [Part("Mother \ud800 had asthma", "family_history", [(ASTHMA, FAMILY), (PNEUMONIA, NEGATED)])],
    title="Brief",
    department="d",
    patient="H|1",
    date=date(2020, 2, 29),
)


def test_roots_and_passages_survive_json() -> None:
    operation = FULL.put
    assert records.load_root(json.loads(json.dumps(records.dump_root(operation.root)))) == operation.root
    bare = letter().put.root
    assert records.load_root(json.loads(json.dumps(records.dump_root(bare)))) == bare
    passage = operation.passages[0]
    content = records.dump_passage(passage)
    assert content.isascii()
    stored = records.load_passage(FULL.id, 3, content, 1.5)
    assert (stored.document_id, stored.version, stored.score) == (FULL.id, 3, 1.5)
    assert (stored.text, stored.section, stored.mentions) == (passage.text, passage.section, passage.mentions)


@pytest.mark.parametrize("text", ["Mother had asthma, Crohn’s", "Mother \ud800 had asthma"])
def test_mentions_survive_in_every_text(text: str) -> None:
    found = [(ASTHMA, FAMILY), (PNEUMONIA, NEGATED)]
    (passage,) = Letter([Part(text, "family_history", found)]).put.passages
    stored = records.load_passage(FULL.id, 1, records.dump_passage(passage).encode(), 0.5)
    assert (stored.text, stored.mentions) == (text, passage.mentions)
    assert passage.mentions


def test_order_keys_sort_as_the_names_say() -> None:
    letters = [
        letter(title="b", date=date(2020, 1, 2)),
        letter(title="Ä", date=date(2020, 1, 1)),
        letter(title=" a  \ud800", date=None),
    ]
    roots = [one.put.root for one in letters]
    for sort, titles in ((SortKey.NEWEST, "bÄa"), (SortKey.OLDEST, "Äba"), (SortKey.TITLE, "aÄb")):
        ordered = sorted(roots, key=lambda root: records.order_keys(root)[sort])
        assert [root.title.strip()[0] for root in ordered] == list(titles)
    assert all(
        key.isprintable() or "\t" in key for root in roots for key in records.order_keys(root).values()
    )


def test_equal_keys_are_told_apart_by_id() -> None:
    one, other = sorted([letter(title="x").put.root for _ in range(2)], key=lambda root: root.document_id)
    for sort in records.order_keys(one):
        assert records.order_keys(one)[sort] < records.order_keys(other)[sort]


def test_slots_differ_by_version_and_fit_a_bigint() -> None:
    slots = {records.slot(FULL.id, version) for version in range(100)}
    assert len(slots) == 100
    assert all(0 <= slot < 2**63 for slot in slots)


def test_facet_values_carry_their_label() -> None:
    mixed = Letter([Part("x", None, [(PNEUMONIA, Assertion()), (PNEUMONIA, NEGATED)])]).put.root
    buckets = [(term, 1) for term in records.facet_concepts(mixed)]
    assert counted(buckets, 5) == [
        FacetCount("ICD10CM:J18.9#affirmed", 1, PNEUMONIA.label),
        FacetCount("ICD10CM:J18.9#negated", 1, PNEUMONIA.label),
    ]


def test_one_value_under_two_labels_is_counted_once() -> None:
    assert counted([("a\tone", 2), ("b", 2), ("a\tother", 1)], 2) == [
        FacetCount("a", 3, "one"),
        FacetCount("b", 2),
    ]


def test_unknown_facets_and_generation_names_are_refused() -> None:
    with pytest.raises(Invalid):
        known(["year", "stems"])
    for name in ("", "9a", "a/b", 'a"b', "A", "a" * 41):
        with pytest.raises(Invalid):
            Generation(name, "e@1", 3, "1")


def test_every_condition_carries_the_access_filter() -> None:
    for access in (None, frozenset({"user:a"})):
        with pytest.raises(TypeError):
            documents(everything(Filters()), access)  # type: ignore[arg-type]
