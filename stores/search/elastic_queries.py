"""Conditions as Elasticsearch queries."""

from __future__ import annotations

from typing import Any

from stores.search.conditions import Best, Condition, Days, Documents, Match, OneOf, Words

Query = dict[str, Any]


def compiled(condition: Condition) -> Query:
    """The query that matches and scores what `condition` says."""
    match condition:
        case Words(field, (stem,)):
            return {"term": {field: {"value": stem}}}
        case Words(field, stems):
            return {"match_phrase": {field: {"query": " ".join(stems)}}}
        case OneOf(field, values):
            return {"terms": {field: list(values)}}
        case Documents(ids):
            return {"terms": {"document": [one.hex for one in ids]}}
        case Days(first, last):
            return {"range": {"day": {"gte": first, "lte": last}}}
        case Best(parts, boost):
            return {"dis_max": {"queries": [compiled(part) for part in parts], "boost": boost}}
        case Match():
            return _match(condition)


def roots(match: Match) -> Query:
    """The condition on roots."""
    return {"bool": {"filter": [_kind("root")], "must": [compiled(match)]}}


def passages(*filters: Condition) -> list[Query]:
    """Filters on passages."""
    return [_kind("passage"), *map(compiled, filters)]


def _kind(name: str) -> Query:
    return {"term": {"kind": name}}


def _match(match: Match) -> Query:
    query: Query = {
        "filter": [compiled(one) for one in match.filters] or [{"match_all": {}}],
        "must": [compiled(one) for one in match.must],
        "must_not": [compiled(one) for one in match.must_not],
    }
    if match.should:
        query |= {"should": [compiled(one) for one in match.should], "minimum_should_match": match.minimum}
    return {"bool": query}
