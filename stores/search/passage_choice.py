"""The passages that are shown of a document: what satisfies the filters first, then by words, then in text order."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import tantivy
from tantivy import Occur, Query

from domain.search import LexicalQuery, StoredPassage
from stores.search import paging, records
from stores.search.conditions import Match, passage_filters, passage_words
from stores.search.passage_order import chosen
from stores.search.shelf import Found
from stores.search.tantivy_queries import compiled, one_of, ranked


class PassageChoice:
    """Chooses by one query, document by document."""

    def __init__(
        self, searcher: tantivy.Searcher, schema: tantivy.Schema, query: LexicalQuery, per_document: int
    ) -> None:
        self._searcher = searcher
        self._schema = schema
        self._filters = query.filters
        self._per_document = per_document
        self._words = [(Occur.Should, compiled(schema, words)) for words in passage_words(query)]
        conditions = passage_filters(query.filters)
        self._satisfied = compiled(schema, Match(filters=tuple(conditions))) if conditions else None

    def best(self, root: Found, ordinals: Sequence[int]) -> list[StoredPassage]:
        """The best passages, and those named by `ordinals`, in order."""
        own, most = one_of(self._schema, "slot", [root.slot]), self._per_document
        satisfying = self._top(root, [own, self._satisfied], most) if self._satisfied else []
        best = self._top(root, [own], most) if len(satisfying) < most else []
        found = {passage.ordinal: passage for passage in (*satisfying, *best)}
        missing = sorted(set(ordinals) - found.keys())
        if missing:
            wanted = one_of(self._schema, "ordinal", missing)
            found |= {one.ordinal: one for one in self._top(root, [own, wanted], len(missing))}
        named = [found[ordinal] for ordinal in ordinals if ordinal in found]
        return chosen(satisfying, best, named, filters=self._filters, per_document=most)

    def _top(self, root: Found, needed: Sequence[Query], limit: int) -> list[StoredPassage]:
        query = Query.boolean_query([*((Occur.Must, one) for one in needed), *self._words])

        def fetch(start: int, stop: int) -> paging.Stretch:
            hits, total = ranked(self._searcher, query, start, stop)
            ordinals = self._searcher.fast_field_values("ordinal", [address for _, address in hits])
            return paging.Stretch(
                [
                    paging.Ranked(-hit[0], ordinal, hit[1])
                    for hit, ordinal in zip(hits, ordinals, strict=True)
                ],
                total,
            )

        hits, _, _ = paging.page(fetch, limit=limit)
        return [self._stored(root.document_id, root.version, hit) for hit in hits]

    def _stored(self, document_id: UUID, version: int, hit: paging.Ranked) -> StoredPassage:
        content = bytes(self._searcher.doc(hit.address)["content"][0])
        return records.load_passage(document_id, version, content, -float(hit.key))
