"""What the index gets of a document: its root record and its passage records, as `domain.search` documents
them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from domain.access import effective_principals
from domain.documents import DocumentState
from domain.search import PassageRecord, PutDocument, Root
from domain.text import Annotation, Mention, Passage, Section, Term
from models.analysis import analyse, stems
from models.artefacts import Vectors

T = TypeVar("T", Mention, Section)


def index_records(state: DocumentState, annotation: Annotation, vectors: Vectors) -> PutDocument:
    """The records of one document; `vectors` has one row a passage, in their order.

    Raises `ValueError` when the numbers of passages and vectors differ.
    """
    if len(vectors) != len(annotation.passages):
        raise ValueError(f"{len(annotation.passages)} passages but {len(vectors)} vectors")
    terms = [analyse(passage.text) for passage in annotation.passages]
    by_page = _by_page(annotation.mentions)
    records = tuple(
        _passage_record(passage, terms[index], by_page.get(passage.page, ()), vectors[index])
        for index, passage in enumerate(annotation.passages)
    )
    return PutDocument(_root(state, annotation, terms), records)


def _passage_record(
    passage: Passage, terms: list[Term], mentions: Iterable[Mention], vector: Vectors
) -> PassageRecord:
    inside = tuple(m for m in mentions if passage.start <= m.start and m.end <= passage.end)
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


def _root(state: DocumentState, annotation: Annotation, terms: Sequence[list[Term]]) -> Root:
    title = state.title or state.filename
    title_stems = stems(title)
    placed = list(_placed(annotation, terms))
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
        stems=" ".join([*title_stems, *(stem for stem, _ in placed)]),
        sections=tuple(sorted({section.name for section in annotation.sections})),
        concepts=_concepts(annotation.mentions),
        section_stems=tuple(f"{section}#{stem}" for stem, section in placed if section),
        facet_concepts=_facet_concepts(annotation.mentions),
        concept_labels={concept.code: concept.label for concept in leading},
        title_stems=len(title_stems),
    )


def _placed(annotation: Annotation, terms: Sequence[list[Term]]) -> Iterator[tuple[str, str | None]]:
    """Every stem of the text once, in order, with its section: what passages repeat is left out."""
    sections = _by_page(annotation.sections)
    page, position = 0, 0
    for passage, own in zip(annotation.passages, terms, strict=True):
        position = position if passage.page == page else 0
        page = passage.page
        for term in own:
            start = passage.start + term.start
            if start >= position:
                yield term.stem, _section_at(sections.get(page, ()), start)
        position = max(position, passage.end)


def _section_at(sections: Iterable[Section], position: int) -> str | None:
    return next((section.name for section in sections if section.start <= position < section.end), None)


def _by_page(items: Iterable[T]) -> dict[int, list[T]]:
    pages: dict[int, list[T]] = {}
    for item in items:
        pages.setdefault(item.page, []).append(item)
    return pages


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
