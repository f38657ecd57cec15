"""How an ICD-10-CM description is said in a clinical text, and which names are too common to be recognised.

ICD descriptions are made for coding: "Pneumonia, unspecified organism" is what a letter calls "pneumonia".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

WrittenName = tuple[str, int, bool]
"""(text, rank, only in capitals)."""

_BRACKETS = re.compile(r"\s*\[([^\]]*)\]")
_PARENTHESES = re.compile(r"\s*\([^)]*\)")
_NOS = re.compile(r",?\s+(?:NOS|NEC)$")
_QUALIFIERS = re.compile(
    r",?\s+(?:unspecified(?:\s+(?:organism|site|type|cause|trimester|etiology|body region|part))?"
    r"|not elsewhere classified|uncomplicated|not intractable|without status migrainosus"
    r"|(?:site|organism|type) not specified|of unspecified (?:site|organism|type|cause|etiology)"
    r"|without complications?|without mention of complications?|without hemorrhage"
    r"|without obstruction or gangrene|without (?:acute )?(?:bleeding|exacerbation)"
    r"|unspecified as to episode of care|single episode|initial episode of care)(?=,|$)",
    re.IGNORECASE,
)
_UNSPECIFIED = re.compile(r"^unspecified\s+|\bunspecified\s+", re.IGNORECASE)
_INVERTED = re.compile(r"([^,]+),\s+([A-Za-z\-]+)")
_TUMOUR = re.compile(r"Malignant neoplasm of (?:unspecified part of )?(?:the )?([a-z ]+)", re.IGNORECASE)
_FRACTURE = re.compile(r"Fracture of ([a-z ]+)", re.IGNORECASE)
LONGEST_NAME = 8
_ABBREVIATION = re.compile(r"[A-Z][A-Za-z]*[A-Z][A-Za-z]*")


def icd_names(description: str, inclusions: list[str], *, leaf: bool) -> Iterator[WrittenName]:
    """Names of a code, plain ones first; rank 0 is the description itself or a name marked NOS."""
    base = 0 if leaf else 2
    yield from _ranked(description, base)
    for inclusion in inclusions:
        yield from _ranked(inclusion, 0 if _NOS.search(inclusion) else base + 1)


def _ranked(text: str, rank: int) -> Iterator[WrittenName]:
    for bracketed in _BRACKETS.findall(text):
        if _ABBREVIATION.fullmatch(bracketed) and abbreviates(bracketed, text):
            yield bracketed, rank + 1, True
    plain = _NOS.sub("", _PARENTHESES.sub("", _BRACKETS.sub("", text))).strip()
    yield plain, rank, False
    bare = unqualified(plain)
    if bare != plain:
        yield bare, rank + 1, False
    if inverted := _INVERTED.fullmatch(bare):
        yield f"{inverted[2]} {inverted[1]}", rank + 2, False
    yield from ((name, rank + 2, False) for name in _said(bare))


def unqualified(text: str) -> str:
    """`text` without what says that nothing more is known."""
    previous = ""
    while text != previous:
        previous, text = text, _QUALIFIERS.sub("", text)
    return _UNSPECIFIED.sub("", text)


def _said(text: str) -> Iterator[str]:
    """`Malignant neoplasm of bronchus and lung` is said "lung cancer"."""
    if tumour := _TUMOUR.fullmatch(text):
        for site in tumour[1].split(" and "):
            yield f"{site} cancer"
            yield f"cancer of the {site}"
            yield f"cancer of {site}"
    if (fracture := _FRACTURE.fullmatch(text)) and " and " not in text:
        yield f"{fracture[1]} fracture"
        yield f"fractured {fracture[1]}"


def abbreviates(short: str, long: str) -> bool:
    """Whether the letters of `short` occur in `long` in order, the first at its beginning."""
    remaining = iter(long.lower())
    return long[:1].lower() == short[:1].lower() and all(letter in remaining for letter in short.lower())


def usable(words: list[str]) -> bool:
    """Whether a name can be looked for in text: not too long, and not a number or a letter."""
    return (
        bool(words)
        and len(words) <= LONGEST_NAME
        and any(len(word) > 1 and not word.isdigit() for word in words)
    )
