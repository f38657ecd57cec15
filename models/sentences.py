"""Sentences of clinical text: abbreviations, lists, wrapped lines, lines without a full stop."""

from __future__ import annotations

import re
from collections.abc import Iterator

from domain.text import Span

_ABBREVIATIONS = frozenset(
    "dr mr mrs ms prof st vs no nos fig figs eq approx ca cf al etc inc ltd dept pt pts hx dx tx rx sx fx "
    "resp temp wt ht est vol min max med meds tab tabs cap caps inj susp sol a.m p.m e.g i.e b.i.d t.i.d "
    "q.i.d p.o i.v i.m s.c q.d q.h p.r.n h.s o.d u.s m.d ph.d jr sr ref refs ed eds sp spp var subsp viz "
    "incl".split()
)
_CANDIDATE = re.compile(r"(?P<stop>(?<![.!?])[.!?]++[\"'”’)\]]*+)(?=\s)|(?P<break>\n)")
_LAST_WORD = re.compile(r"[\w.]+$")
_BULLET = re.compile(r"[ ]*(?:[-*•●○▪>–—]\s|\(?(?:\d{1,2}|[a-zA-Z])[.)]\s|[A-Z][^\n.:]{1,40}:(?:\s|$))")
_STARTS = re.compile(r"\s*[\"'“‘(\[]*[A-Z0-9\u00c0-\u00de•●▪*\-–—]")
_UNITS = frozenset(("min", "vol", "wt"))
"""Abbreviations that end a sentence behind a number, as any unit does."""
_BEGINNINGS = frozenset(
    "The This These Those That There Then They We He She It Its His Her Our In On At To For From With Without By As If "
    "When While After Before During No Not Patient However Moreover Thus Both All Each Such Here Although "
    "Furthermore Finally Normal Denies Reports Review Continue".split()
)
_NEXT_WORD = re.compile(r"\s+\w+")
_WRAPPED_AT = 50
_INDENT = 80
_LONGEST = 2000
"""Longer ones are no sentences: what is looked for within one would take for ever."""
_PIECE = re.compile(rf"(?s).{{1,{_LONGEST}}}(?=\s|\Z)|.{{1,{_LONGEST}}}")


def split_sentences(text: str) -> list[Span]:
    """Spans of the sentences in order, without surrounding white space; together they hold all other text.

    One of more than `_LONGEST` characters comes in pieces, cut between words.
    """
    spans: list[Span] = []
    start = 0
    for end in (*_ends(text), len(text)):
        for match in _PIECE.finditer(text, start, end):
            piece = match.group()
            if stripped := piece.strip():
                begin = match.start() + len(piece) - len(piece.lstrip())
                spans.append(Span(begin, begin + len(stripped)))
        start = end
    return spans


def _ends(text: str) -> Iterator[int]:
    for match in _CANDIDATE.finditer(text):
        ends = _line_ends(text, match.start()) if match["break"] else _stop_ends(text, match)
        if ends:
            yield match.end()


def _stop_ends(text: str, match: re.Match[str]) -> bool:
    if not _STARTS.match(text, match.end()):
        return False
    if match["stop"][0] != ".":
        return match.start() > 0 and not text[match.start() - 1].isspace()
    word = _LAST_WORD.search(text, max(0, match.start() - 20), match.start())
    if word is None:
        return True
    last, before = (
        word.group().strip(".").lower(),
        text[max(0, word.start() - _INDENT) : word.start()].rstrip(),
    )
    if last.isdigit() and len(last) <= 2:
        listed = (".", ":", ";") if last == "1" else (".", ";")
        return not (_opens_line(text, word.start()) or before.endswith(listed))
    if len(last) == 1 and last.isalpha() and text[match.start() - 1].isupper():
        return text[word.start() - 1 : word.start()] in ("-", "/") or _begins(text, match.end())
    if last in _UNITS and before[-1:].isdigit():
        return True
    return last not in _ABBREVIATIONS


def _begins(text: str, position: int) -> bool:
    """Whether the next word is one that sentences begin with, and names do not."""
    following = _NEXT_WORD.match(text, position)
    return following is not None and following.group().strip() in _BEGINNINGS


def _opens_line(text: str, position: int) -> bool:
    _, line_end, own = text[max(0, position - _INDENT) : position].rpartition("\n")
    return not own.strip() and (bool(line_end) or position <= _INDENT)


def _line_ends(text: str, position: int) -> bool:
    """Whether a line break ends a sentence: unless the line was wrapped, it does."""
    line = text[text.rfind("\n", 0, position) + 1 : position].rstrip()
    following = text[position + 1 : position + 80]
    if not line or following[:1] == "\n" or _BULLET.match(following):
        return True
    if line.endswith((",", "-", "(", "/")) or following.lstrip()[:1].islower():
        return False
    wrapped = len(line) >= _WRAPPED_AT and not line.endswith((".", "!", "?", ":", ";"))
    return not wrapped
