"""The search filter of both backends selects what the decision allows, for every role and every kind of principal."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import tantivy
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.access import Access, Sensitivity, effective_principals, may_read
from domain.search import AccessFilter
from stores.search import elastic_queries, tantivy_queries
from stores.search.conditions import Match, visible
from stores.search.shelf_documents import roots_schema
from tests.access_cases import FOREIGN, ME, MINE, POLICY, UNIVERSE, reading, single_accesses

ROLES = st.sampled_from(POLICY.roles)
HELD = st.frozensets(st.sampled_from([one for one in UNIVERSE if not one.startswith(("user:", "role:"))]))
LISTS = st.frozensets(st.sampled_from(UNIVERSE), max_size=5)
ACCESS = st.builds(Access, LISTS, st.sampled_from(Sensitivity))


class Embedded:
    """Roots in an index in memory, with the backend's own schema."""

    def __init__(self, accesses: list[Access]) -> None:
        self._schema = roots_schema()
        self._index = tantivy.Index(self._schema)
        writer = self._index.writer(15_000_000, 1)
        for number, access in enumerate(accesses):
            root = tantivy.Document()
            root.add_unsigned("number", number)
            for principal in sorted(effective_principals(access)):
                root.add_text("access", principal)
            writer.add_document(root)
        writer.commit()
        writer.wait_merging_threads()
        self._index.reload()

    def seen(self, principals: frozenset[str]) -> set[int]:
        question = Match(filters=(visible(AccessFilter(principals)),))
        query = tantivy_queries.compiled(self._schema, question)
        hits, _ = tantivy_queries.ranked(self._index.searcher(), query, 0, 1_000, by="number")
        return {number for number, _ in hits}


@cache
def embedded() -> tuple[Embedded, list[Access]]:
    accesses = single_accesses()
    return Embedded(accesses), accesses


def elastic_sees(principals: frozenset[str], access: Access) -> bool:
    """What Elasticsearch does with the compiled filter: `terms` on a keyword field."""
    query: dict[str, Any] = elastic_queries.compiled(visible(AccessFilter(principals)))
    assert set(query) == {"terms"}
    return not effective_principals(access).isdisjoint(query["terms"]["access"])


@settings(deadline=None, max_examples=150)
@given(ROLES, HELD)
def test_the_embedded_filter_is_the_decision(role: str, held: frozenset[str]) -> None:
    index, accesses = embedded()
    principals = reading(role, held)
    allowed = {number for number, access in enumerate(accesses) if may_read(principals, access)}
    assert index.seen(principals) == allowed


@given(ROLES, HELD, ACCESS)
def test_the_elastic_filter_is_the_decision(role: str, held: frozenset[str], access: Access) -> None:
    principals = reading(role, held)
    assert elastic_sees(principals, access) is may_read(principals, access)


@given(HELD, ACCESS)
def test_what_each_role_reads_in_other_words(held: frozenset[str], access: Access) -> None:
    listed = access.principals
    personal = {one for one in held if one.startswith(("self:", "breakglass:"))} | {f"user:{ME}"}
    wide = {one for one in held if one.startswith(("treating:", "department:"))}
    normal = access.sensitivity is not Sensitivity.RESTRICTED
    doctor = bool(listed & personal) or (normal and bool(listed & (wide | {"role:doctor"})))
    assert may_read(reading("doctor", held), access) is doctor
    patient = {one for one in personal if not one.startswith("breakglass:")}
    assert may_read(reading("patient", held), access) is bool(listed & patient)
    assert may_read(reading("records_manager", held), access) is (f"user:{ME}" in listed)
    researcher = access.sensitivity is Sensitivity.DEIDENTIFIED
    assert may_read(reading("researcher", held), access) is researcher
    for role in ("privacy_officer", "department_admin", "admin", "service"):
        assert not may_read(reading(role, held), access)


@pytest.mark.parametrize(
    ("principal", "sensitivities"),
    [
        ("self:LAB|1", {"normal", "restricted", "deidentified"}),
        ("breakglass:LAB|3", {"normal", "restricted", "deidentified"}),
        ("treating:LAB|2", {"normal", "deidentified"}),
        ("department:icu", {"normal", "deidentified"}),
    ],
)
def test_what_counts_on_a_restricted_document(principal: str, sensitivities: set[str]) -> None:
    index, accesses = embedded()
    own = reading("doctor", MINE)
    seen = {
        accesses[number].sensitivity.value
        for number in index.seen(own)
        if principal in accesses[number].principals
    }
    assert seen == sensitivities


def test_nobody_sees_what_is_listed_for_others() -> None:
    index, accesses = embedded()
    foreign = {
        n for n, access in enumerate(accesses) if access.principals and access.principals <= set(FOREIGN)
    }
    assert not index.seen(reading("doctor", MINE)) & foreign
    assert index.seen(frozenset()) == set()
