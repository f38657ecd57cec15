"""File names: whatever is sent, what comes out is one harmless name."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.filenames import LIMIT_BYTES, safe_filename, stem


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("letter.pdf", "letter.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/", "document"),
        ("..", "document"),
        ("", "document"),
        ("\x00", "document"),
        ("a\x00b.pdf", "ab.pdf"),
        ("\u202egnp.exe", "gnp.exe"),
        ("a\u200bb\ufeff.pdf", "ab.pdf"),
        ('a<b>:"|?*.txt', "a_b______.txt"),
        ("nul", "_nul"),
        ("LPT1.tar.gz", "_LPT1.tar.gz"),
        ("console.txt", "console.txt"),
        ("trailing. . ", "trailing"),
        ("\ud800.pdf", ".pdf"),
        ("cafe\u0301.pdf", "café.pdf"),
        ("ä" * 200 + ".pdf", "ä" * 125 + ".pdf"),
        ("a\u00a0b.pdf", "a b.pdf"),
    ],
)
def test_known_tricks(given: str, kept: str) -> None:
    assert safe_filename(given) == kept


@given(st.text(max_size=600))
def test_every_name_is_visible_short_and_one_segment(name: str) -> None:
    kept = safe_filename(name)
    assert 1 <= len(kept.encode()) <= LIMIT_BYTES
    assert not set(kept) & set('/\\<>:"|?*')
    assert not any(unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp") for sign in kept)
    assert kept.strip(".")
    assert kept == kept.strip()


@given(st.text(max_size=600))
def test_a_harmless_name_stays_as_it_is(name: str) -> None:
    kept = safe_filename(name)
    assert safe_filename(kept) == kept


@pytest.mark.parametrize(
    ("name", "expected"), [("a.pdf", "a"), ("a", "a"), (".pdf", ".pdf"), ("a.b.c", "a.b")]
)
def test_the_stem(name: str, expected: str) -> None:
    assert stem(name) == expected
