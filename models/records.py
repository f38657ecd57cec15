"""What the index gets of a document: its root record and its passage records, as `domain.search` documents
them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

from domain.access import effective_principals
from domain.documents import DocumentState
from domain.search import PassageRecord, PutDocument, Root
from domain.text import Annotation, Mention, Passage, Section, Term, by_page
from models.analysis import analyse, stems
from models.artefacts import Vectors
from models.sections import PageSections


def index_records(state: DocumentState, annotation: Annotation, vectors: Vectors) -> PutDocument:
    """The records of one document; `vectors` has one row a passage, in their order.

    Raises `ValueError` when the numbers of passages and vectors differ.
    """
    if len(vectors) != len(annotation.passages):
        raise ValueError(f"{len(annotation.passages)} passages but {len(vectors)} vectors")
    mentions = {page: _PageMentions(own) for page, own in by_page(annotation.mentions).items()}
    nowhere = _PageMentions(())
    words = _Words(annotation.sections)
    records = []
    for passage, vector in zip(annotation.passages, vectors, strict=True):
        terms = analyse(passage.text)
        words.add(passage, terms)
        inside = mentions.get(passage.page, nowhere).within(passage)
        records.append(_passage_record(passage, terms, inside, vector))
    return PutDocument(_root(state, annotation, words), tuple(records))


class _PageMentions:
    """The mentions of one page, by position; they do not overlap."""

    def __init__(self, mentions: Iterable[Mention]) -> None:
        self._mentions = sorted(mentions, key=lambda mention: mention.start)
        self._starts = [mention.start for mention in self._mentions]

    def within(self, passage: Passage) -> tuple[Mention, ...]:
        first, behind = (bisect_left(self._starts, edge) for edge in (passage.start, passage.end))
        return tuple(mention for mention in self._mentions[first:behind] if mention.end <= passage.end)


class _Words:
    """Every stem of the text once, in order, and with its section: what passages repeat is left out.

    Equal strings are kept once, as a document may have millions.
    """

    def __init__(self, sections: Iterable[Section]) -> None:
        self._sections = {page: PageSections(own) for page, own in by_page(sections).items()}
        self._known: dict[str, str] = {}
        self._page = self._position = 0
        self.stems: list[str] = []
        self.in_sections: list[str] = []

    def add(self, passage: Passage, terms: Iterable[Term]) -> None:
        """The next passage."""
        self._position = self._position if passage.page == self._page else 0
        self._page = passage.page
        sections = self._sections.get(passage.page, _NO_SECTIONS)
        for term in terms:
            start = passage.start + term.start
            if start >= self._position:
                self.stems.append(self._once(term.stem))
                if section := sections.at(start):
                    self.in_sections.append(self._once(f"{section.name}#{term.stem}"))
        self._position = max(self._position, passage.end)

    def _once(self, word: str) -> str:
        return self._known.setdefault(word, word)


_NO_SECTIONS = PageSections()


def _passage_record(
    passage: Passage, terms: list[Term], inside: tuple[Mention, ...], vector: Vectors
) -> PassageRecord:
    return PassageRecord(
        passage.ordinal,
        passage.page,
        passage.section,
        passage.start,
        passage.end,
        passage.text,
        " ".join(term.stem for term in terms),
        _concepts(inside),
        inside,
        vector,
    )


def _root(state: DocumentState, annotation: Annotation, words: _Words) -> Root:
    title = state.title or state.filename
    title_stems = stems(title)
    leading = [mention.concept for mention in annotation.mentions if mention.concept]
    return Root(
        document_id=state.document_id,
        version=state.version,
        revision=state.revision,
        access=tuple(sorted(effective_principals(state.access))),
        title=title,
        document_type=state.document_type,
        department=state.department,
        patient=state.patient,
        date=state.document_date,
        stems=" ".join([*title_stems, *words.stems]),
        sections=tuple(sorted({section.name for section in annotation.sections})),
        concepts=_concepts(annotation.mentions),
        section_stems=tuple(words.in_sections),
        facet_concepts=_facet_concepts(annotation.mentions),
        concept_labels={concept.code: concept.label for concept in leading},
        title_stems=len(title_stems),
    )


def _concepts(mentions: Iterable[Mention]) -> tuple[str, ...]:
    found: set[str] = set()
    for mention in mentions:
        for concept in mention.concepts:
            term = f"{concept.code}#{mention.assertion.label}"
            found.add(term)
            if mention.section:
                found.add(f"{mention.section}#{term}")
    return tuple(sorted(found))


def _facet_concepts(mentions: Iterable[Mention]) -> tuple[str, ...]:
    return tuple(sorted({f"{m.concept.code}#{m.assertion.label}" for m in mentions if m.concept}))
