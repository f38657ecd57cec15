"""Documents for tests of the search index, made with the project's own analysis; vectors are seeded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date
from uuid import UUID

import numpy as np

from domain.ids import new_id
from domain.search import (
    AccessFilter,
    Clause,
    Filters,
    LexicalQuery,
    Occur,
    PassageRecord,
    PutDocument,
    Root,
    Vector,
)
from domain.text import Assertion, Concept, Cue, Experiencer, Mention, MentionType, Polarity
from models.analysis import stems

DIMENSION = 24
ANNA = AccessFilter(frozenset({"user:anna"}))
BERT = AccessFilter(frozenset({"user:bert", "department:surgery"}))
NOBODY = AccessFilter(frozenset())

NEGATED = Assertion(polarity=Polarity.NEGATED, cue=Cue(0, 2, "no"))
FAMILY = Assertion(experiencer=Experiencer.FAMILY, cue=Cue(0, 6, "mother"))
PNEUMONIA = Concept("ICD10CM:J18.9", "Pneumonia, unspecified organism")
ASTHMA = Concept("HP:0002099", "Asthma")


@dataclass(frozen=True)
class Part:
    """One passage: its text, section, mentioned concepts and vector (seeded by the text when not given)."""

    text: str
    section: str | None = None
    mentions: Sequence[tuple[Concept, Assertion]] = ()
    vector: Vector | None = None


@dataclass(frozen=True)
class Letter:
    """A document; `put` gives its index operation."""

    parts: Sequence[Part]
    title: str = "Letter"
    id: UUID = field(default_factory=new_id)
    version: int = 1
    revision: int = 1
    access: Sequence[str] = ("user:anna",)
    document_type: str = "clinic_note"
    department: str | None = None
    patient: str | None = None
    date: date | None = None

    @property
    def put(self) -> PutDocument:
        return PutDocument(self._root(), tuple(_record(i, part) for i, part in enumerate(self.parts)))

    def _root(self) -> Root:
        title = stems(self.title)
        mentions = [(part.section, concept, mood) for part in self.parts for concept, mood in part.mentions]
        return Root(
            document_id=self.id,
            version=self.version,
            revision=self.revision,
            access=tuple(sorted(self.access)),
            title=self.title,
            document_type=self.document_type,
            department=self.department,
            patient=self.patient,
            date=self.date,
            stems=" ".join([*title, *(stem for part in self.parts for stem in stems(part.text))]),
            sections=tuple(sorted({part.section for part in self.parts if part.section})),
            concepts=_terms(mentions),
            section_stems=tuple(
                f"{p.section}#{stem}" for p in self.parts if p.section for stem in stems(p.text)
            ),
            facet_concepts=tuple(sorted({f"{concept.code}#{mood.label}" for _, concept, mood in mentions})),
            concept_labels={concept.code: concept.label for _, concept, _ in mentions},
            title_stems=len(title),
        )


def letter(*texts: str, **fields: object) -> Letter:
    """A letter of plain passages."""
    return Letter([Part(text) for text in texts], **fields)  # type: ignore[arg-type]


def words(text: str, occur: Occur = Occur.MUST, filters: Filters = Filters()) -> LexicalQuery:  # noqa: B008 - frozen
    """A query of the text's stems, one clause each."""
    return LexicalQuery(tuple(Clause((stem,), occur) for stem in stems(text)), filters)


def phrase(text: str, filters: Filters = Filters()) -> LexicalQuery:  # noqa: B008 - frozen
    return LexicalQuery((Clause(tuple(stems(text)), Occur.MUST),), filters)


def everything(filters: Filters = Filters()) -> LexicalQuery:  # noqa: B008 - frozen
    return LexicalQuery((), filters)


def direction(*components: float) -> Vector:
    """A unit vector that begins with the components."""
    return normalised([*components, *([0.0] * (DIMENSION - len(components)))])


def normalised(values: Iterable[float]) -> Vector:
    vector = np.fromiter(values, np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def _record(ordinal: int, part: Part) -> PassageRecord:
    seeded = np.random.default_rng(abs(hash_of(part.text)))
    vector = part.vector if part.vector is not None else normalised(seeded.normal(size=DIMENSION))
    mentions = tuple(
        Mention(1, 0, len(part.text), part.text, MentionType.PROBLEM, (concept,), mood, part.section)
        for concept, mood in part.mentions
    )
    return PassageRecord(
        ordinal=ordinal,
        page=1 + ordinal // 2,
        section=part.section,
        start=0,
        end=len(part.text),
        text=part.text,
        stems=" ".join(stems(part.text)),
        concepts=_terms([(part.section, concept, mood) for concept, mood in part.mentions]),
        mentions=mentions,
        vector=vector,
    )


def hash_of(text: str) -> int:
    """The same in every process, unlike `hash`."""
    return int.from_bytes(text.encode(errors="replace")[:16].ljust(16, b"."), "big") + len(text)


def _terms(mentions: Iterable[tuple[str | None, Concept, Assertion]]) -> tuple[str, ...]:
    found = set()
    for section, concept, mood in mentions:
        found.add(f"{concept.code}#{mood.label}")
        if section:
            found.add(f"{section}#{concept.code}#{mood.label}")
    return tuple(sorted(found))
