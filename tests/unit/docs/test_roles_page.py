"""docs/roles.md is what the access policy says, and explains every word of it."""

from __future__ import annotations

from pathlib import Path

from config.policy import PRINCIPAL_KINDS, SCOPES, AccessPolicy
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
