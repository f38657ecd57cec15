"""docs/roles.md is what the access policy says, and explains every word of it."""

from __future__ import annotations

from pathlib import Path

from config.policy import PRINCIPAL_KINDS, SCOPES, AccessPolicy
from deployments.administration.schemas import AccountAnswer
from deployments.auth.schemas import ProfileAnswer, ProfileChange
from deployments.documents.schemas import DocumentView, UploadParameters
from domain import roles_page

ROOT = Path(__file__).parents[3]
POLICY = AccessPolicy.load()


def test_page_is_what_the_policy_says() -> None:
    assert (ROOT / "docs" / "roles.md").read_text() == roles_page.markdown(), "run: make docs"


def test_every_word_of_the_policy_is_explained() -> None:
    assert list(roles_page.PERMISSIONS) == list(POLICY.table)
    assert set(roles_page.SCOPES) == SCOPES
    assert set(roles_page.KINDS) == PRINCIPAL_KINDS


def test_permissions_without_a_call_are_said() -> None:
    """By the code's text: what checks a permission names it."""
    code = "".join(
        path.read_text() for folder in ("deployments", "cluster") for path in (ROOT / folder).rglob("*.py")
    )
    silent = {name for name in POLICY.table if f'"{name}"' not in code}
    said = {name for name, text in roles_page.PERMISSIONS.items() if "*no call yet*" in text}
    assert said == silent


def test_every_field_has_its_row() -> None:
    account = [name for names, *_ in roles_page.ACCOUNT_FIELDS for name in names.split()]
    assert sorted(account) == sorted(set(ProfileAnswer.model_fields) | set(AccountAnswer.model_fields))
    document = [name for names, _ in roles_page.DOCUMENT_FIELDS for name in names.split()]
    assert sorted(document) == sorted(DocumentView.model_fields)


def test_owners_see_and_write_what_is_said() -> None:
    seen = {n for names, by, _ in roles_page.ACCOUNT_FIELDS if "the owner" in by for n in names.split()}
    assert seen == set(ProfileAnswer.model_fields)
    written = {
        n for names, _, by in roles_page.ACCOUNT_FIELDS if by.startswith("the owner") for n in names.split()
    }
    by_link_or_code = {"pending_email", "email_verified", "mfa_enabled"}
    assert written - by_link_or_code == set(ProfileChange.model_fields) - {"current_password"}


def test_an_upload_writes_what_is_said() -> None:
    (said,) = (names.split() for names, by in roles_page.DOCUMENT_FIELDS if "at the upload" in by)
    assert set(said) == set(UploadParameters.model_fields) - {"sensitivity"}
