"""The access decision and what the search filter is made of agree, for every set of principals."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.access import (
    KINDS,
    RESEARCHERS,
    Access,
    Caller,
    Sensitivity,
    counting,
    default_access,
    effective_principals,
    kind,
    may_read,
)

NAMES = st.sampled_from(["1", "2", "LAB|7", "cardiology", "doctor"])
PRINCIPAL = st.builds("{}:{}".format, st.sampled_from(sorted(KINDS)), NAMES)
PRINCIPALS = st.frozensets(st.one_of(PRINCIPAL, st.just(RESEARCHERS)), max_size=8)
ACCESS = st.builds(Access, PRINCIPALS, st.sampled_from(Sensitivity))


@given(PRINCIPALS, ACCESS)
def test_ac1_the_decision_is_the_intersection_that_the_filter_asks_for(
    caller: frozenset[str], access: Access
) -> None:
    assert may_read(caller, access) == bool(caller & effective_principals(access))


@given(PRINCIPALS, ACCESS)
def test_ac1_the_rules_in_other_words(caller: frozenset[str], access: Access) -> None:
    opens = False
    for principal in caller:
        if principal in access.principals:
            personal = principal.startswith(("user:", "self:", "breakglass:"))
            everywhere = principal != "role:researcher"
            opens |= personal or (everywhere and access.sensitivity is not Sensitivity.RESTRICTED)
        opens |= principal == "role:researcher" and access.sensitivity is Sensitivity.DEIDENTIFIED
    assert may_read(caller, access) is opens


@given(PRINCIPALS)
def test_ac3_a_researcher_reads_what_is_deidentified_and_nothing_else(listed: frozenset[str]) -> None:
    for sensitivity in Sensitivity:
        access = Access(listed | {RESEARCHERS}, sensitivity)
        assert may_read({RESEARCHERS}, access) is (sensitivity is Sensitivity.DEIDENTIFIED)


@given(PRINCIPALS, st.frozensets(st.sampled_from(sorted(KINDS))))
def test_ac9_counting_keeps_the_kinds_that_are_named(
    principals: frozenset[str], kinds: frozenset[str]
) -> None:
    kept = counting(principals, kinds)
    assert kept <= principals
    assert {kind(one) for one in kept} <= kinds
    assert not {kind(one) for one in principals - kept} & kinds


@given(ACCESS)
def test_ac2_an_empty_principal_set_matches_nothing(access: Access) -> None:
    assert not may_read((), access)


@given(PRINCIPALS, ACCESS, PRINCIPALS)
def test_more_principals_never_close_a_document(
    caller: frozenset[str], access: Access, more: frozenset[str]
) -> None:
    assert may_read(caller, access) <= may_read(caller | more, access)


@given(PRINCIPALS, PRINCIPALS)
def test_ac4_restricting_never_opens(caller: frozenset[str], listed: frozenset[str]) -> None:
    restricted = may_read(caller, Access(listed, Sensitivity.RESTRICTED))
    assert restricted <= may_read(caller, Access(listed))


@given(NAMES, st.one_of(st.none(), NAMES), st.one_of(st.none(), NAMES))
def test_ac5_defaults(owner: str, patient: str | None, department: str | None) -> None:
    listed = default_access(owner, patient=patient, department=department)
    expected = {"user": owner}
    if patient is not None:
        expected |= {"self": patient, "treating": patient, "breakglass": patient}
    elif department is not None:
        expected["department"] = department
    assert listed == {f"{name}:{value}" for name, value in expected.items()}


def test_ac5_a_patients_document_is_not_its_departments() -> None:
    access = Access(default_access("1", patient="LAB|7", department="cardiology"))
    assert not may_read({"department:cardiology", "role:doctor", "user:2"}, access)
    assert may_read({"treating:LAB|7"}, access)
    assert not may_read({"treating:LAB|70"}, access)


@pytest.mark.parametrize("principal", ["everybody", "group:1", "", ":x"])
def test_a_caller_has_only_principals_of_known_kinds(principal: str) -> None:
    with pytest.raises(ValueError, match="kind"):
        Caller("1", "doctor", frozenset({principal}))
    assert kind(principal) not in KINDS
