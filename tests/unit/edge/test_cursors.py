"""Cursors cannot be made, changed, kept too long or used by others."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.secrets import SecretStore
from deployments.edge.cursors import CursorSigner
from domain.errors import Gone


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> SecretStore:
    return SecretStore(tmp_path_factory.mktemp("secrets"))


def test_what_is_signed_comes_back(secrets: SecretStore) -> None:
    signer = CursorSigner(secrets)
    cursor = signer.sign({"after": [1.5, "é"], "query": "q"}, bound_to="user:1")
    assert CursorSigner(secrets).verify(cursor, bound_to="user:1") == {"after": [1.5, "é"], "query": "q"}
    assert cursor.isascii()


def test_what_it_holds_cannot_be_read(secrets: SecretStore) -> None:
    """An order by title has titles in its cursors, and cursors stand in addresses."""
    signer = CursorSigner(secrets)
    cursor = signer.sign({"after": ["miller, biopsy of the breast"]}, bound_to="user:1")
    assert b"miller" not in base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    assert cursor != signer.sign({"after": ["miller, biopsy of the breast"]}, bound_to="user:1")


def test_it_ends(secrets: SecretStore) -> None:
    now = [1000.0]
    signer = CursorSigner(secrets, clock=lambda: now[0])
    cursor = signer.sign({}, seconds=60)
    now[0] = 1059.9
    assert signer.verify(cursor) == {}
    now[0] = 1060.0
    with pytest.raises(Gone):
        signer.verify(cursor)


def test_it_is_nobody_elses(secrets: SecretStore, tmp_path: Path) -> None:
    cursor = CursorSigner(secrets).sign({"a": 1}, bound_to="user:1")
    for signer, bound in (
        (CursorSigner(secrets), "user:2"),
        (CursorSigner(secrets), ""),
        (CursorSigner(SecretStore(tmp_path)), "user:1"),
    ):
        with pytest.raises(Gone):
            signer.verify(cursor, bound_to=bound)


@given(st.data())
def test_no_character_can_be_changed(secrets: SecretStore, data: st.DataObject) -> None:
    signer = CursorSigner(secrets, clock=lambda: 0.0)
    cursor = signer.sign({"page": 2})
    place = data.draw(st.integers(0, len(cursor) - 2))  # the last character has unused bits
    letter = data.draw(st.characters().filter(lambda other: other != cursor[place]))
    with pytest.raises(Gone):
        signer.verify(cursor[:place] + letter + cursor[place + 1 :])


@given(st.text(max_size=60))
def test_anything_else_is_gone(secrets: SecretStore, cursor: str) -> None:
    with pytest.raises(Gone):
        CursorSigner(secrets).verify(cursor)


def test_a_very_long_one_is_gone(secrets: SecretStore) -> None:
    with pytest.raises(Gone):
        CursorSigner(secrets).verify("A" * 100_000)
