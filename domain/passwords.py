"""Which passwords are refused: too short or long, near the person's own names, or guessed first by everybody.

No rules of composition (NIST SP 800-63B-4). Passwords are compared and hashed in NFKC, in full.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from domain.errors import FieldError

COMMON = frozenset(
    """
    password passwort passwd motdepasse contrasena parola senha qwerty qwertz azerty letmein welcome
    willkommen bienvenue admin administrator root superuser login access secret changeme default guest
    master iloveyou princess sunshine football baseball basketball monkey dragon shadow superman batman
    trustno starwars whatever freedom michael jordan jennifer charlie ashley bailey donald flower cheese
    computer internet samsung google hospital clinic doctor nurse patient medical medicine health
    healthcare surgery radiology medsearch spring summer autumn winter january february march april june
    july august september october november december monday tuesday wednesday thursday friday saturday
    sunday
    """.split()
)
"""Words that are no password by themselves, however often repeated or followed by digits and signs."""

ROWS = (
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
    "1qaz2wsx3edc4rfv5tgb6yhn7ujm8ik9ol0p",
)
LEET = str.maketrans("01345$@!7", "oieassait")
LEET_INSIDE = r"(?<=[a-z])[01345$@!7]+(?=[a-z])"
DISTINCT = 5
"""Fewest different characters."""
OWN = 4
"""Length from which the person's own words must not be contained."""


def normalised(password: str) -> str:
    """The form that is compared and hashed: Unicode NFKC, nothing cut off, case and blanks kept."""
    return unicodedata.normalize("NFKC", password)


def weakness(password: str, *, own: Iterable[str], shortest: int, longest: int) -> tuple[str, str] | None:
    """A code and a sentence why `password` (normalised) is refused. `own`: the person's own words."""
    if len(password) < shortest:
        return "too_short", f"Use at least {shortest} characters; a few words are easy to remember."
    if len(password) > longest:
        return "too_long", f"Use at most {longest} characters."
    folded = password.casefold()
    if any(len(word) >= OWN and normalised(word).casefold() in folded for word in own):
        return "own_name", "Do not use your user name, your name or your e-mail address in it."
    if len(set(folded)) < DISTINCT or _repeated(folded):
        return "repeated", "Do not repeat the same few characters."
    if _sequence(folded):
        return "sequence", "Do not use a row of the keyboard, the alphabet or numbers."
    if _common(folded):
        return "common", "This password is among the first that are guessed."
    return None


def own_words(username: str, address: str, *names: str) -> tuple[str, ...]:
    """What belongs to the person: user name, e-mail address, its part before the `@`, other names."""
    return (username, address, address.rpartition("@")[0], *names)


def refusal(
    field: str, password: str, *, own: Iterable[str], shortest: int, longest: int
) -> FieldError | None:
    """`weakness` as the error of a request's field."""
    found = weakness(normalised(password), own=own, shortest=shortest, longest=longest)
    return FieldError(field, *found) if found else None


def _repeated(text: str) -> bool:
    """The whole text is one block, at least three times."""
    return any(text == (text[:size] * len(text))[: len(text)] for size in range(1, len(text) // 3 + 1))


def _sequence(text: str) -> bool:
    """All but two characters belong to runs of four or more neighbours of a row, forwards or backwards."""
    covered = [False] * len(text)
    for row in (*ROWS, *(row[::-1] for row in ROWS)):
        for start in range(len(text) - 3):
            if text[start : start + 4] in row:
                covered[start : start + 4] = [True] * 4
    return covered.count(False) <= 2


def _common(text: str) -> bool:
    """Only common words remain when digits and signs are taken away, also when those stand for letters."""
    spellings = (text, re.sub(LEET_INSIDE, lambda found: found[0].translate(LEET), text))
    words = "|".join(sorted(COMMON, key=len, reverse=True))
    return any(re.fullmatch(f"(?:{words})+", re.sub(r"[\W\d_]+", "", spelling)) for spelling in spellings)
