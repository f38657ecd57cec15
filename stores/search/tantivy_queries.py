"""Conditions as tantivy queries. Tantivy has no unscored clause: what only selects scores a constant zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tantivy
from tantivy import Occur, Query

from stores.search.conditions import Best, Condition, Days, Documents, Match, OneOf, Words
from stores.search.records import number

FEW_TERMS = 100
"""Up to so many terms are asked one by one; a set of them is compiled to an automaton, which alone takes 0.3 ms."""


def compiled(schema: tantivy.Schema, condition: Condition) -> Query:
    """The query that matches and scores what `condition` says."""
    match condition:
        case Words(field, (stem,)):
            return Query.term_query(schema, field, stem)
        case Words(field, stems):
            return Query.phrase_query(schema, field, list(stems))
        case OneOf(field, values):
            return one_of(schema, field, values)
        case Documents(ids):
            return one_of(schema, "number", [number(one) for one in ids])
        case Days():
            return _unscored(_days(schema, condition))
        case Best(parts, boost):
            best = [compiled(schema, part) for part in parts]
            whole = best[0] if len(best) == 1 else Query.disjunction_max_query(best)
            return whole if boost == 1 else Query.boost_query(whole, boost)
        case Match():
            return _match(schema, condition)


def one_of(schema: tantivy.Schema, field: str, values: Sequence[str] | Sequence[int]) -> Query:
    """Records that have at least one of the values in the field, unscored; without values none."""
    if not values:
        return Query.empty_query()
    if len(values) > FEW_TERMS:
        return _unscored(Query.term_set_query(schema, field, list(values)))
    terms = [(Occur.Should, Query.term_query(schema, field, value, "basic")) for value in values]
    return _unscored(terms[0][1] if len(terms) == 1 else Query.boolean_query(terms))


def ranked(
    searcher: tantivy.Searcher, query: Query, start: int, stop: int, *, by: str | None = None
) -> tuple[list[tuple[Any, tantivy.DocAddress]], int]:
    """Hits `start` to `stop` with their score, or ascending by the field `by` with its value; and the total."""
    ordered: dict[str, Any] = {"order_by_field": by, "order": tantivy.Order.Asc} if by else {}
    result: Any = searcher.search(query, stop - start, offset=start, **ordered)
    return result.hits, result.count


def _match(schema: tantivy.Schema, match: Match) -> Query:
    clauses = [(Occur.Must, compiled(schema, one)) for one in match.must]
    clauses += [(Occur.Must, _unscored(compiled(schema, one))) for one in match.filters]
    if match.should:
        parts = [(Occur.Should, compiled(schema, one)) for one in match.should]
        clauses.append((Occur.Must, Query.boolean_query(parts, minimum_number_should_match=match.minimum)))
    if not clauses:
        clauses.append((Occur.Must, _unscored(Query.all_query())))
    clauses += [(Occur.MustNot, compiled(schema, one)) for one in match.must_not]
    return Query.boolean_query(clauses)


def _days(schema: tantivy.Schema, days: Days) -> Query:
    return Query.range_query(
        schema, "day", tantivy.FieldType.Unsigned, lower_bound=days.first, upper_bound=days.last
    )


def _unscored(query: Query) -> Query:
    return Query.const_score_query(query, 0.0)
