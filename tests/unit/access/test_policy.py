"""The policy file says what the table of docs/security.md says."""

from __future__ import annotations

from typing import get_args

import pytest

from config.account_settings import Role
from config.policy import PRINCIPAL_KINDS, AccessPolicy
from deployments.auth.schemas import RequestableRole
from domain.access import KINDS

POLICY = AccessPolicy.load()
PEOPLE = (
    "patient",
    "nurse",
    "doctor",
    "researcher",
    "records_manager",
    "privacy_officer",
    "department_admin",
    "admin",
)

TABLE = {
    "profile.self": "own own own own own own own own",
    "apikey.manage": "own own own own own own own own",
    "document.upload": "own all all - all - - -",
    "document.upload_for_others": "- - - - all - - -",
    "document.version": "own readable readable - blind - - -",
    "document.metadata": "own readable readable - blind - - -",
    "document.read": "listed listed listed deidentified own - - -",
    "document.list": "listed listed listed deidentified own - - -",
    "document.export": "listed listed listed deidentified own - - -",
    "search.query": "listed listed listed deidentified own - - -",
    "breakglass.start": "- - all - - - - -",
    "document.share": "- - own - - - department -",
    "document.delete": "- - own - reasoned - department -",
    "account.read": "- - - - - - department all",
    "role.approve": "- - - - - - department others",
    "role.assign": "- - - - - - - others",
    "account.suspend": "- - - - - - department others",
    "account.unlock": "- - - - - - department others",
    "account.departments": "- - - - - - - others",
    "account.own_record": "- - - - - - department others",
    "treatment.manage": "- - - - - - department others",
    "audit.own": "own - - - - - - -",
    "audit.read": "- - - - - all - -",
    "audit.export": "- - - - - all - -",
    "audit.figures": "- - - - - all - figures",
    "processing.view": "- - - - all - - blind",
    "processing.operate": "- - - - all - - blind",
    "webhook.manage": "own own own own own own department all",
    "alert.manage": "own own own own own own department all",
    "metrics.read": "- - - - - - - all",
    "bulk.ingest": "- - - - - - - -",
}
"""security.md's operations x roles, written a second time, by hand."""


def test_ac6_the_whole_table() -> None:
    shown = {name: " ".join(POLICY.scope(role, name) or "-" for role in PEOPLE) for name in POLICY.table}
    assert shown == TABLE


COUNTING = {
    "user": "yes yes yes yes yes yes yes yes",
    "role": "yes yes yes yes yes yes yes yes",
    "self": "yes yes yes - yes yes yes yes",
    "department": "- yes yes - - - yes -",
    "treating": "- yes yes - - - - -",
    "breakglass": "- - yes - - - - -",
}
"""Which principals count for whom, by hand as well."""


def test_ac9_which_principals_count() -> None:
    shown = {
        kind: " ".join("yes" if kind in POLICY.kinds(role) else "-" for role in PEOPLE) for kind in COUNTING
    }
    assert shown == COUNTING
    assert POLICY.kinds("service") == {"user", "role"}
    assert POLICY.kinds("nobody") == frozenset()
    assert POLICY.roles_of("breakglass") == {"doctor"}


def test_the_words_are_those_of_the_code() -> None:
    assert POLICY.roles == get_args(Role) == tuple(POLICY.principals)
    assert set(COUNTING) == KINDS == PRINCIPAL_KINDS


def test_id8_a_service_may_load_in_bulk_and_nothing_else() -> None:
    assert [name for name in POLICY.table if POLICY.allows("service", name)] == ["bulk.ingest"]


def test_what_is_not_named_is_not_allowed() -> None:
    assert not POLICY.allows("nobody", "document.read")
    assert not any(POLICY.allows("", name) for name in POLICY.table)
    with pytest.raises(KeyError):
        POLICY.allows("admin", "document.reed")


def test_requestable_roles_are_those_of_the_registration() -> None:
    assert POLICY.requestable == get_args(RequestableRole)
    assert not {"admin", "department_admin", "privacy_officer", "service"} & set(POLICY.requestable)


@pytest.mark.parametrize(
    "text",
    [
        "{roles: [a], requestable: [], principals: {}, permissions: {x: {b: all}}}",
        "{roles: [a], requestable: [], principals: {}, permissions: {x: {a: everything}}}",
        "{roles: [a], requestable: [b], principals: {}, permissions: {}}",
        "{roles: [a], requestable: [], principals: {b: [user]}, permissions: {}}",
        "{roles: [a], requestable: [], principals: {a: [group]}, permissions: {}}",
    ],
)
def test_a_policy_with_unknown_words_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="unknown"):
        AccessPolicy.parse(text)
