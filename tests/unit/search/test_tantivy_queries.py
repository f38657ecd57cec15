"""Conditions as tantivy queries: how many terms are asked for changes nothing but the time."""

from __future__ import annotations

import pytest
import tantivy

from stores.search.tantivy_queries import FEW_TERMS, one_of

DOCUMENTS = 3 * FEW_TERMS


@pytest.fixture(scope="module")
def index() -> tantivy.Index:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("access", tokenizer_name="raw", index_option="basic")
    builder.add_unsigned_field("number", indexed=True, fast=True)
    index = tantivy.Index(builder.build())
    writer = index.writer(15_000_000, 1)
    for number in range(DOCUMENTS):
        document = tantivy.Document()
        document.add_unsigned("number", number)
        document.add_text("access", f"user:{number}")
        writer.add_document(document)
    writer.commit()
    writer.wait_merging_threads()
    index.reload()
    return index


@pytest.mark.parametrize("count", [0, 1, 2, FEW_TERMS, FEW_TERMS + 1])
def test_one_of_finds_what_has_a_value_and_scores_nothing(index: tantivy.Index, count: int) -> None:
    wanted = list(range(DOCUMENTS - count, DOCUMENTS))
    searcher = index.searcher()
    for field, values in (("number", wanted), ("access", [f"user:{number}" for number in wanted])):
        hits = searcher.search(one_of(index.schema, field, values), DOCUMENTS).hits
        numbers = searcher.fast_field_values("number", [address for _, address in hits])
        assert sorted(numbers) == wanted
        assert {score for score, _ in hits} <= {0.0}
