"""Passages: the searchable chunks of a document, cut where a reader would cut.

A passage lies within one page and holds at most so many tokens of the encoder's tokenizer; it ends at the end
of a sentence, or, when one sentence is too long, between two words. A new section starts a new passage once
the current one has enough text.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domain.text import Page, Passage, Section, Span, by_page
from models.folders import read_tokenizer
from models.sentences import split_sentences

_SPECIAL_TOKENS = 2
_ENOUGH = 4
"""A section heading cuts a passage that has at least a quarter of its tokens."""
_CHARACTERS_PER_TOKEN = 12
"""Bounds a passage of text that the tokenizer makes few tokens of (endless words)."""
_SEGMENT = re.compile(r"(?s).{1,50000}(?=\s|\Z)|.{1,50000}")
_PIECE = 32
_WORD = re.compile(r"\S+")


class Tokenizer(Protocol):
    """Says where the encoder's tokens end."""

    def ends(self, text: str) -> list[int]:
        """End offsets (code points) of the tokens of `text`, ascending, without special tokens."""
        ...


class WordPieceTokenizer:
    """The tokenizer of a `tokenizer.json`, without loading the model."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = read_tokenizer(path)

    def ends(self, text: str) -> list[int]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        return [end for _, end in encoding.offsets]


@dataclass(frozen=True, slots=True)
class _Unit:
    """A sentence, or a piece of one that is too long, with its number of tokens and its section."""

    start: int
    end: int
    tokens: int
    section: str | None


class PassageSplitter:
    """Cuts pages into passages of at most `max_tokens` model tokens (special tokens counted)."""

    def __init__(self, tokenizer: Tokenizer, *, max_tokens: int, overlap: int) -> None:
        self._tokenizer = tokenizer
        self._budget = max_tokens - _SPECIAL_TOKENS
        self._overlap = min(overlap, self._budget // 2)

    def split(self, pages: Sequence[Page], sections: Sequence[Section]) -> tuple[Passage, ...]:
        """Passages in reading order; every word of every page is in at least one."""
        passages: list[Passage] = []
        on_page = by_page(sections)
        for page in pages:
            for start, end, section in self._spans(page.text, on_page.get(page.number, [])):
                passages.append(
                    Passage(len(passages), page.number, start, end, section, page.text[start:end])
                )
        return tuple(passages)

    def _spans(self, text: str, sections: list[Section]) -> Iterator[tuple[int, int, str | None]]:
        group: list[_Unit] = []
        used = 0
        fresh = False
        for unit in self._units(text, sections):
            if group and self._closes(group, used, unit, fresh=fresh):
                yield _whole(group)
                group = [] if unit.section != group[-1].section else self._tail(group, unit)
                used = sum(each.tokens for each in group)
                fresh = False
            group.append(unit)
            used += unit.tokens
            fresh = True
        if fresh:
            yield _whole(group)

    def _closes(self, group: list[_Unit], used: int, unit: _Unit, *, fresh: bool) -> bool:
        if not fresh:
            return False
        if used + unit.tokens > self._budget:
            return True
        if unit.end - group[0].start > self._budget * _CHARACTERS_PER_TOKEN:
            return True
        return unit.section != group[-1].section and used * _ENOUGH >= self._budget

    def _tail(self, group: list[_Unit], following: _Unit) -> list[_Unit]:
        """The last units of a passage that the next one repeats."""
        room = min(self._overlap, self._budget - following.tokens)
        tail: list[_Unit] = []
        for unit in reversed(group[1:]):
            room -= unit.tokens
            too_long = following.end - unit.start > self._budget * _CHARACTERS_PER_TOKEN
            if room < 0 or too_long or unit.section != following.section:
                break
            tail.insert(0, unit)
        return tail

    def _units(self, text: str, sections: list[Section]) -> Iterator[_Unit]:
        starts = [section.start for section in sections]
        ends = self._token_ends(text)
        for span in _cut_at(split_sentences(text), starts):
            index = bisect_right(starts, span.start) - 1
            name = sections[index].name if index >= 0 and span.start < sections[index].end else None
            for piece in self._pieces(text, span, ends):
                yield _Unit(piece.start, piece.end, max(1, _tokens(ends, piece)), name)

    def _pieces(self, text: str, span: Span, ends: list[int]) -> Iterator[Span]:
        """`span` whole, or in pieces within the overlap's size, so that they can be repeated."""
        count = _tokens(ends, span)
        longest = self._budget * _CHARACTERS_PER_TOKEN
        if count <= self._budget and span.end - span.start <= longest:
            yield span
            return
        size = min(max(_PIECE, self._overlap), self._budget)
        start, end, tokens = span.start, span.start, 0
        for word in _words(text, span, self._budget):
            more = _tokens(ends, Span(end, word.end))
            if end > start and (tokens + more > size or word.end - start > size * _CHARACTERS_PER_TOKEN):
                yield Span(start, end)
                start, tokens = word.start, 0
            end, tokens = word.end, tokens + more
        if end > start:
            yield Span(start, end)

    def _token_ends(self, text: str) -> list[int]:
        """Token ends of the page; a very long text goes to the tokenizer in segments."""
        return [
            segment.start() + end
            for segment in _SEGMENT.finditer(text)
            for end in self._tokenizer.ends(segment.group())
        ]


def _tokens(ends: list[int], span: Span) -> int:
    """Tokens that have a part in `span`: one that its end cuts through counts here and in what follows."""
    return min(bisect_left(ends, span.end) + 1, len(ends)) - bisect_right(ends, span.start)


def _whole(group: list[_Unit]) -> tuple[int, int, str | None]:
    """From the first unit to the last, in the section that holds most of it."""
    sizes: dict[str | None, int] = {}
    for unit in group:
        sizes[unit.section] = sizes.get(unit.section, 0) + unit.tokens
    return group[0].start, group[-1].end, max(sizes, key=lambda name: sizes[name])


def _cut_at(spans: list[Span], edges: list[int]) -> Iterator[Span]:
    """The spans, cut where a section starts inside one."""
    for span in spans:
        start = span.start
        for edge in edges[bisect_right(edges, start) : bisect_left(edges, span.end)]:
            yield Span(start, edge)
            start = edge
        yield Span(start, span.end)


def _words(text: str, span: Span, longest: int) -> Iterator[Span]:
    """The words of a span; one longer than `longest` characters in pieces."""
    for match in _WORD.finditer(text, span.start, span.end):
        for start in range(match.start(), match.end(), longest):
            yield Span(start, min(start + longest, match.end()))
