"""Row A16: which passwords are refused, and why."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.passwords import COMMON, normalised, refusal, weakness

OWN = ("drsmith", "doctor@example.com", "doctor")


def why(password: str) -> str | None:
    found = weakness(normalised(password), own=OWN, shortest=12, longest=128)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("SecurePass123!", None),
        ("correct horse battery staple", None),
        ("x7 " * 4 + "Qm!", None),
        ("elevenchars", "too_short"),
        ("twelve chars", None),
        ("Ab3!" * 32, "repeated"),
        ("Za9?xK2#" * 15 + "Za9?xK2!", None),
        ("Za9?xK2#" * 16 + "!", "too_long"),
        ("my name is DrSmith!", "own_name"),
        ("xxDOCTOR@example.comxx", "own_name"),
        ("abababababab", "repeated"),
        ("abcdeabcdeabcde", "repeated"),
        ("            ", "repeated"),
        ("123456789012", "sequence"),
        ("qwertyuiop12", "sequence"),
        ("zyxwvutsrqponm", "sequence"),
        ("1qaz2wsx3edc", "sequence"),
        ("abcd1234efgh", "sequence"),
        ("Password1234", "common"),
        ("P@ssw0rd!2026", "common"),
        ("Welcome-Summer-2026", "common"),
        ("medsearch2026!", "common"),
        ("".join(chr(ord(letter) + 0xFEE0) for letter in "password1234"), "common"),
    ],
)
def test_refusals(password: str, code: str | None) -> None:
    assert why(password) == code


@given(st.text(min_size=0, max_size=200))
def test_any_text_gets_an_answer(password: str) -> None:
    found = why(password)
    length = len(normalised(password))
    assert (found == "too_short") is (length < 12)
    assert (found == "too_long") is (length > 128)


@given(st.sampled_from(sorted(COMMON)), st.text("0123456789!?-_. ", min_size=12, max_size=20))
def test_digits_and_signs_do_not_make_a_common_word_a_password(word: str, tail: str) -> None:
    assert why(word + tail) in ("common", "repeated", "sequence", "own_name")


def test_the_refusal_names_the_field_and_never_the_password() -> None:
    error = refusal("new_password", "Password1234", own=(), shortest=12, longest=128)
    assert error is not None
    assert (error.field, error.code) == ("new_password", "common")
    assert "Password1234" not in error.message
    assert refusal("x", "SecurePass123!", own=OWN, shortest=12, longest=128) is None
