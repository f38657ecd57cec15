"""Who may do what with one document: the access list and the policy's scope of each role together."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.policy import AccessPolicy
from deployments.documents.rights import Rights
from deployments.documents.schemas import UploadParameters
from domain.access import Access, Caller, Sensitivity, default_access, within_scope
from domain.errors import Forbidden
from stores.documents import Content, Document, Metadata

POLICY = AccessPolicy.load()
RIGHTS = Rights(POLICY)
OWNER, CLERK = uuid4(), uuid4()
PATIENT = "LAB|7"


def caller(role: str, *principals: str, user: UUID | None = None) -> Caller:
    user = user or uuid4()
    return Caller(str(user), role, frozenset({f"user:{user}", f"role:{role}", *principals}))


def document(*, sensitivity: Sensitivity = Sensitivity.NORMAL, **metadata: Any) -> Document:
    """The owner's, uploaded by the clerk."""
    named = {"patient": PATIENT, "department": "cardiology"} | metadata
    listed = default_access(str(OWNER), patient=named["patient"], department=named["department"])
    return Document(
        id=uuid4(),
        owner_id=OWNER,
        uploaded_by=CLERK,
        metadata=Metadata("letter.pdf", "Letter", "other", **named),
        access=Access(listed, sensitivity),
        content=Content("key", "0" * 64, 1),
    )


LETTER = document()
WITHOUT_PATIENT = document(patient=None)
CLERKS = caller("records_manager", user=CLERK)
OWNERS = caller("doctor", user=OWNER)
TREATING = caller("nurse", f"treating:{PATIENT}")
STRANGER = caller("doctor", "treating:LAB|70", "department:surgery")


@pytest.mark.parametrize(
    ("who", "document", "reads"),
    [
        (OWNERS, LETTER, True),
        (TREATING, LETTER, True),
        (STRANGER, LETTER, False),
        (CLERKS, LETTER, False),
        (caller("records_manager", f"self:{PATIENT}"), LETTER, False),
        (caller("doctor", "department:cardiology"), LETTER, False),
        (caller("doctor", "department:cardiology"), WITHOUT_PATIENT, True),
        (caller("doctor", "role:cardiology"), WITHOUT_PATIENT, False),
        (caller("admin", f"self:{PATIENT}"), LETTER, False),
        (caller("department_admin", "department:cardiology"), WITHOUT_PATIENT, False),
        (caller("researcher"), document(sensitivity=Sensitivity.DEIDENTIFIED), True),
        (caller("researcher"), LETTER, False),
        (caller("researcher", user=OWNER), LETTER, False),
        (TREATING, document(sensitivity=Sensitivity.RESTRICTED), False),
        (
            caller("doctor", f"breakglass:{PATIENT}"),
            document(sensitivity=Sensitivity.RESTRICTED),
            True,
        ),
        (caller("patient", f"self:{PATIENT}"), document(sensitivity=Sensitivity.RESTRICTED), True),
    ],
)
def test_ac1_who_reads(who: Caller, document: Document, reads: bool) -> None:
    assert RIGHTS.reads(who, document) is reads


def test_who_uploaded_for_somebody_follows_it_without_reading() -> None:
    assert RIGHTS.sees(CLERKS, LETTER)
    assert not RIGHTS.sees(caller("records_manager"), LETTER)
    assert not RIGHTS.sees(caller("doctor", user=CLERK), LETTER)
    assert RIGHTS.sees(TREATING, LETTER)
    assert RIGHTS.reach(CLERKS).uploaded_by == CLERK
    assert RIGHTS.reach(STRANGER).uploaded_by is None


def test_lists_show_what_reading_allows() -> None:
    for who in (OWNERS, TREATING, STRANGER, CLERKS, caller("researcher"), caller("admin")):
        scope = POLICY.scope(who.role, "document.read")
        assert RIGHTS.reach(who).principals == (within_scope(who, scope) if scope else frozenset())
    assert RIGHTS.reach(CLERKS).principals == {f"user:{CLERK}"}
    assert RIGHTS.reach(caller("researcher")).principals == {"role:researcher"}
    assert RIGHTS.reach(caller("admin")).principals == frozenset()


@pytest.mark.parametrize(
    ("who", "knows"),
    [
        (TREATING, True),
        (caller("records_manager"), True),
        (caller("department_admin", "department:cardiology"), True),
        (caller("department_admin", "department:surgery"), False),
        (caller("doctor", "department:cardiology"), False),
        (STRANGER, False),
        (caller("researcher"), False),
    ],
)
def test_ac7_to_whom_a_document_is_missing(who: Caller, knows: bool) -> None:
    assert RIGHTS.knows(who, LETTER) is knows


def test_whose_a_document_is() -> None:
    assert RIGHTS.owns(OWNERS, LETTER)
    assert RIGHTS.owns(CLERKS, LETTER)
    assert not RIGHTS.owns(TREATING, LETTER)


def refused(check: Any, who: Caller, of: Any) -> bool:
    try:
        check(who, of)
    except Forbidden:
        return True
    return False


@pytest.mark.parametrize(
    ("who", "wish", "no"),
    [
        (caller("patient", f"self:{PATIENT}"), {"patient": PATIENT}, False),
        (caller("patient", f"self:{PATIENT}"), {"patient": "LAB|8"}, True),
        (caller("patient"), {"patient": PATIENT}, True),
        (caller("patient"), {}, False),
        (caller("patient"), {"department": "cardiology"}, True),
        (caller("patient", f"self:{PATIENT}"), {"patient": PATIENT, "department": "cardiology"}, True),
        (caller("nurse"), {"department": "cardiology"}, False),
        (caller("nurse"), {"patient": PATIENT}, False),
        (caller("doctor"), {"owner_id": OWNER}, True),
        (OWNERS, {"owner_id": OWNER}, False),
        (caller("records_manager"), {"owner_id": OWNER}, False),
    ],
)
def test_ac11_uploads(who: Caller, wish: dict[str, Any], no: bool) -> None:
    assert refused(RIGHTS.check_upload, who, UploadParameters(**wish)) is no


@pytest.mark.parametrize(
    ("scope", "check", "of"),
    [
        ("document.deidentify", RIGHTS.check_upload, UploadParameters(sensitivity=Sensitivity.DEIDENTIFIED)),
        ("document.deidentify", RIGHTS.check_deidentify, WITHOUT_PATIENT),
        ("document.version", RIGHTS.check_version, LETTER),
        ("document.share", RIGHTS.check_share, LETTER),
        ("document.delete", RIGHTS.check_delete, LETTER),
    ],
)
def test_id6_a_key_may_do_what_it_was_made_for_alone(scope: str, check: Any, of: Any) -> None:
    everything = POLICY.permissions("doctor")
    assert not refused(check, replace(OWNERS, scopes=frozenset({scope})), of)
    assert refused(check, replace(OWNERS, scopes=everything - {scope}), of)


@pytest.mark.parametrize(
    ("who", "document", "no"),
    [
        (OWNERS, LETTER, False),
        (TREATING, LETTER, False),
        (STRANGER, LETTER, True),
        (caller("doctor", "department:cardiology"), WITHOUT_PATIENT, True),
        (caller("records_manager"), LETTER, False),
        (caller("patient", user=OWNER), LETTER, False),
        (caller("patient", f"self:{PATIENT}"), LETTER, True),
        (caller("admin", user=OWNER), LETTER, True),
    ],
)
def test_versions(who: Caller, document: Document, no: bool) -> None:
    assert refused(RIGHTS.check_version, who, document) is no


@pytest.mark.parametrize(
    ("who", "no"),
    [
        (OWNERS, False),
        (TREATING, True),
        (STRANGER, True),
        (CLERKS, True),
        (caller("department_admin", "department:cardiology"), False),
        (caller("department_admin", "department:surgery"), True),
        (caller("patient", user=OWNER), True),
        (caller("admin", user=OWNER), True),
    ],
)
def test_deletions(who: Caller, no: bool) -> None:
    assert refused(RIGHTS.check_delete, who, LETTER) is no


def test_a_department_of_another_role_is_nobodys() -> None:
    nurse = caller("nurse", "department:cardiology")
    assert not RIGHTS.knows(nurse, LETTER)
    assert RIGHTS.knows(replace(nurse, role="department_admin"), LETTER)


@pytest.mark.parametrize("scope", ["all", "blind", "figures", ""])
def test_a_scope_that_says_nothing_about_reading_opens_nothing(scope: str) -> None:
    with pytest.raises(ValueError, match="scope"):
        within_scope(OWNERS, scope)
