"""The dictionary recogniser: every name of the vocabulary in the text, the longest first from the left."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise

from domain.text import Mention, Page, Term
from models.analysis import analyse
from models.recognition.abbreviations import Definition, definitions
from models.terminology import Meaning, Vocabulary

_SOFT = frozenset(" -/'’\n\u2010\u2011")
_LONG_CAPITALS = 6
Found = tuple[int, int, Meaning]
"""(first term, behind the last term, meaning)."""


class DictionaryRecogniser:
    """Looks names up in a `Vocabulary`; an abbreviation that the document defines counts from that page on, whatever
    it stands for elsewhere.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        self.name = f"dictionary@{vocabulary.version}"

    def recognise(self, pages: Sequence[Page]) -> list[Mention]:
        defined: dict[str, Meaning] = {}
        mentions: list[Mention] = []
        for page in pages:
            mentions.extend(self._on_page(page, defined))
        return mentions

    def _on_page(self, page: Page, defined: dict[str, Meaning]) -> Iterator[Mention]:
        terms = analyse(page.text)
        if not terms:
            return
        known = list(names_in(page.text, terms, self._vocabulary))
        for definition in definitions(page.text, [_span(terms, found) for found in known]):
            _define(defined, definition, known)
        abbreviations = list(_abbreviations(page.text, terms, defined))
        for first, behind, meaning in _longest(abbreviations + known):
            start, end = terms[first].start, terms[behind - 1].end
            yield Mention(page.number, start, end, page.text[start:end], meaning.type, meaning.concepts)


def names_in(text: str, terms: list[Term], vocabulary: Vocabulary) -> Iterator[Found]:
    """Every name in the text, overlapping ones too; abbreviations only where they are written as such."""
    hard = _hard_gaps(text, terms)
    for first, length, index in vocabulary.windows([term.word for term in terms]):
        if hard[first + length - 1] != hard[first]:
            continue
        meaning = vocabulary.meaning(index)
        if not meaning.capitals or _is_abbreviation(text, terms, first, first + length):
            yield first, first + length, meaning


def _hard_gaps(text: str, terms: list[Term]) -> list[int]:
    """For each term, how many gaps up to it hold more than blanks and hyphens: a name spans none of them."""
    gaps = (text[left.end : right.start] for left, right in pairwise(terms))
    return list(accumulate((gap != " " and not _is_soft(gap) for gap in gaps), initial=0))


def _is_soft(gap: str) -> bool:
    return _SOFT.issuperset(gap) and gap.count("\n") < 2


def _is_abbreviation(text: str, terms: list[Term], first: int, behind: int) -> bool:
    """Written in capitals, and not because everything around it is."""
    surface = text[terms[first].start : terms[behind - 1].end].removesuffix("s")
    if sum(map(str.isupper, surface)) < 2 or not (surface[-1].isupper() or surface[-1].isdigit()):
        return False
    around = [terms[first - 1]] if first else []
    around += terms[behind : behind + 1]
    return not any(_shouts(text, term) for term in around)


def _shouts(text: str, term: Term) -> bool:
    surface = text[term.start : term.end]
    return len(surface) >= _LONG_CAPITALS and surface.isupper() and surface.isalpha()


def _longest(found: list[Found]) -> Iterator[Found]:
    """Leftmost, then longest, the first given of equals; nothing overlaps."""
    behind_last = 0
    for first, behind, meaning in sorted(found, key=lambda each: (each[0], -each[1])):
        if first >= behind_last:
            behind_last = behind
            yield first, behind, meaning


def _span(terms: list[Term], found: Found) -> tuple[int, int]:
    return terms[found[0]].start, terms[found[1] - 1].end


def _define(defined: dict[str, Meaning], definition: Definition, known: list[Found]) -> None:
    defined[definition.short] = known[definition.index][2]


def _abbreviations(text: str, terms: list[Term], defined: dict[str, Meaning]) -> Iterator[Found]:
    if not defined:
        return
    for index, term in enumerate(terms):
        surface = text[term.start : term.end]
        meaning = defined.get(surface) or defined.get(surface.removesuffix("s"))
        if meaning is not None:
            yield index, index + 1, meaning
