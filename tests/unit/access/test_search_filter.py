"""The search filter is the access decision: every question to an index carries it, whatever else it asks."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.search.schemas import SearchRequest
from domain.access import KINDS, Access, Caller, Sensitivity, effective_principals, may_read
from domain.search import AccessFilter, Clause, Filters, LexicalQuery, Occur
from stores.search.conditions import Condition, Documents, Match, OneOf, documents, visible
from stores.search.reading import _selection
from tests.search_world import World, document

NAMES = st.sampled_from(["1", "2", "LAB|7"])
PRINCIPALS = st.frozensets(st.builds("{}:{}".format, st.sampled_from(sorted(KINDS)), NAMES), max_size=5)
ACCESS = st.builds(Access, PRINCIPALS, st.sampled_from(Sensitivity))
HERE, ELSEWHERE = UUID(int=1), UUID(int=2)
QUERIES = st.sampled_from(
    [
        LexicalQuery(()),
        LexicalQuery((), Filters(department=("cardiology",))),
        LexicalQuery((), within=frozenset({HERE})),
        LexicalQuery((Clause(("absent",), Occur.MUST_NOT),)),
    ]
)


def holds(condition: Condition, record: Mapping[str, Any]) -> bool:
    """Whether a record without words meets the condition."""
    match condition:
        case OneOf(field, values):
            return not record[field].isdisjoint(values)
        case Documents(ids):
            return record["id"] in ids
        case Match(must, should, must_not, filters, minimum):
            optional = sum(holds(one, record) for one in should)
            return (
                all(holds(one, record) for one in (*must, *filters))
                and not any(holds(one, record) for one in must_not)
                and (not should or optional >= minimum)
            )
    return False


@given(PRINCIPALS, ACCESS, QUERIES, st.sampled_from([(), (HERE,), (HERE, ELSEWHERE)]))
def test_ac1_no_question_finds_more_than_the_decision_allows(
    caller: frozenset[str], access: Access, query: LexicalQuery, also: tuple[UUID, ...]
) -> None:
    record = {
        "id": HERE,
        "access": effective_principals(access),
        "department": frozenset({"cardiology", *access.principals}),
    }
    allowed = may_read(caller, access)
    assert holds(visible(AccessFilter(caller)), record) is allowed
    assert holds(documents(query, AccessFilter(caller), also), record) is allowed
    assert holds(_selection(AccessFilter(caller), query.filters), record) is allowed


def test_ac2_nobody_finds_nothing() -> None:
    assert visible(AccessFilter(frozenset())) == OneOf("access", ())


@pytest.mark.parametrize("given", [None, frozenset({"user:1"}), "user:1"])
def test_a_question_without_the_filter_is_refused(given: Any) -> None:
    with pytest.raises(TypeError, match="AccessFilter"):
        documents(LexicalQuery(()), given)
    with pytest.raises(TypeError, match="AccessFilter"):
        documents(LexicalQuery(()), given, (HERE,))


@pytest.mark.parametrize(
    ("role", "finds"), [("doctor", True), ("records_manager", False), ("researcher", False)]
)
async def test_ac1_a_search_asks_within_the_scope_of_the_role(tmp_path: Path, role: str, finds: bool) -> None:
    world = await World(tmp_path).open()
    await world.put(document("fever", access=["department:cardiology"]))
    principals = frozenset({f"user:{UUID(int=9)}", f"role:{role}", "department:cardiology"})
    answer = await world.service.search(
        SearchRequest(query="fever"), Caller(str(UUID(int=9)), role, principals)
    )
    assert bool(answer.hits) is finds
    assert bool(answer.total.value) is finds
