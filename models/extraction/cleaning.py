"""The stored text of a page: what Postgres, JSON and a reader can take, lines and words whole."""

from __future__ import annotations

import re

_LINE_ENDS = re.compile(r"\r\n?|[\v\x85\u2028\u2029]")
_REMOVED = (
    *(code for code in range(0x20) if code not in (0x09, 0x0A)),
    *range(0x7F, 0xA0),
    *(0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2060, 0x2070)),
    *(0xFEFF, 0xFFFF, *range(0xFFF9, 0xFFFC)),
)
_BLANKS = (0x09, 0xA0, 0x202F, *range(0x2000, 0x200B), 0x3000)
_LIGATURES = {0xFB00 + index: text for index, text in enumerate(("ff", "fi", "fl", "ffi", "ffl", "st", "st"))}
_TABLE: dict[int, str | None] = {**dict.fromkeys(_REMOVED), **dict.fromkeys(_BLANKS, " "), **_LIGATURES}
_SURROGATE = re.compile("[\ud800-\udfff]")
_BREAK = re.compile(r"(?<=[^\W\d_])(?:[-\u2010]\n|\ufffe\n?|\u00ad\n)[ ]*(?=[^\W\d_])")
_LEFT_PART = re.compile(r"[^\W\d_]+$")
_LONGEST_LEFT = 24
_SOFT = re.compile("[\u00ad\ufffe]")
_TRAILING_BLANKS = re.compile(r"(?<! ) +(?=\n)")
_BLANK_LINES = re.compile(r"\n{3,}")
_COMPOUNDS = frozenset(
    "non well follow check self half one two three four five six ten first second third low high long short "
    "full left right post pre anti mid semi cross double single evidence risk age sex dose time cost case "
    "health patient disease drug hospital community x".split()
)
"""First parts of words that keep their hyphen when a line ends behind it."""


def clean(text: str) -> str:
    """Text without control characters, lone surrogates and NUL; `\\n` line ends; no trailing blanks.

    Words that were broken at a line's end are whole again (`pneu-` `monia`), ligatures are letters; more than
    one empty line becomes one.
    """
    text = _LINE_ENDS.sub("\n", text).translate(_TABLE)
    text = _SURROGATE.sub("\ufffd", text)
    text = _BREAK.sub(_joined, text)
    text = _SOFT.sub("", text)
    return _BLANK_LINES.sub("\n\n", _TRAILING_BLANKS.sub("", text)).strip()


def _joined(match: re.Match[str]) -> str:
    text, start = match.string, match.start()
    left = _LEFT_PART.search(text[max(0, start - _LONGEST_LEFT) : start])
    is_compound = left is not None and left.group().lower() in _COMPOUNDS
    if "\u00ad" in match.group() or (text[match.end()].islower() and not is_compound):
        return ""
    return "-"
