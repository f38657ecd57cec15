"""Found documents as hits: title, up to three passages with highlights and mentions, the explanation."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from uuid import UUID

from deployments.search import schemas
from deployments.search.found import FoundDocument
from deployments.search.legs import index_within
from deployments.search.question import Question
from domain.search import LexicalQuery, StoredPassage, StoredRoot
from domain.text import Mention
from domain.windows import Place
from models.highlighting import Highlighter
from stores.ports import SearchIndex

PASSAGES = 3
"""Most passages of a hit."""


class Presenter:
    """Loads what is shown of the documents of one page."""

    def __init__(self, index: SearchIndex, *, timeout_seconds: float) -> None:
        self._index = index
        self._timeout = timeout_seconds

    async def hits(
        self,
        question: Question,
        found: Sequence[FoundDocument],
        fusion: schemas.FusionUsed | None,
        *,
        explain: bool,
    ) -> list[schemas.Hit]:
        """Hits in the given order, without documents that the index changed or lost since they were found."""
        roots, passages = await self._load(question, found)
        highlighter = Highlighter(question.parsed.wanted)
        hits = []
        for document in found:
            root = roots.get(document.document_id)
            if root is None or root.version != document.version:
                continue
            own = [one for one in passages.get(document.document_id, ()) if one.version == document.version]
            chosen = chosen_passages(own, document.ordinal)
            hit = _hit(document, root, [_passage(one, highlighter) for one in chosen])
            if explain:
                hit.explanation = _explanation(document, hit, question, highlighter, fusion)
            hits.append(hit)
        return hits

    async def _load(
        self, question: Question, found: Sequence[FoundDocument]
    ) -> tuple[Mapping[UUID, StoredRoot], Mapping[UUID, Sequence[StoredPassage]]]:
        documents = [document.document_id for document in found]
        if not documents:
            return {}, {}
        nearest = {one.document_id: [one.ordinal] for one in found if one.ordinal is not None}
        words = LexicalQuery(question.parsed.relaxed().clauses, question.filters)
        name = question.generation.name
        async with index_within(self._timeout):
            roots, passages = await asyncio.gather(
                self._index.roots(documents, question.access, generation=name),
                self._index.passages(
                    words,
                    question.access,
                    documents=documents,
                    ordinals=nearest,
                    per_document=PASSAGES,
                    generation=name,
                ),
            )
        return {root.document_id: root for root in roots}, passages


def chosen_passages(passages: Sequence[StoredPassage], nearest: int | None) -> list[StoredPassage]:
    """The first three in the index's order; the nearest one by meaning is among them when there is one."""
    chosen = list(passages[:PASSAGES])
    missed = [one for one in passages[PASSAGES:] if one.ordinal == nearest]
    return [*chosen[: PASSAGES - len(missed)], *missed]


def _hit(document: FoundDocument, root: StoredRoot, passages: list[schemas.PassageFound]) -> schemas.Hit:
    return schemas.Hit(
        document_id=root.document_id,
        version=root.version,
        title=root.title,
        document_type=root.document_type,
        document_date=root.date,
        patient=root.patient,
        score=None if document.score is None else round(document.score, 6),
        passages=passages,
    )


def _passage(passage: StoredPassage, highlighter: Highlighter) -> schemas.PassageFound:
    spans = highlighter.highlights(passage.text, offset=passage.start)
    return schemas.PassageFound(
        page=passage.page,
        section=passage.section,
        start=passage.start,
        end=passage.end,
        text=passage.text,
        highlights=[schemas.Stretch(start=span.start, end=span.end) for span in spans],
        mentions=[_mention(mention) for mention in passage.mentions],
    )


def _mention(mention: Mention) -> schemas.MentionFound:
    cue = mention.assertion.cue
    return schemas.MentionFound(
        start=mention.start,
        end=mention.end,
        text=mention.text,
        type=mention.type.value,
        concept=mention.concept.code if mention.concept else None,
        codes=[concept.code for concept in mention.concepts],
        label=mention.concept.label if mention.concept else None,
        assertion=mention.assertion.label,
        cue=schemas.CueText(start=cue.start, end=cue.end, text=cue.text) if cue else None,
    )


def _explanation(
    document: FoundDocument,
    hit: schemas.Hit,
    question: Question,
    highlighter: Highlighter,
    fusion: schemas.FusionUsed | None,
) -> schemas.Explanation:
    texts = [hit.title, *(passage.text for passage in hit.passages)]
    met = {match.clause for text in texts for match in highlighter.matches(text)}
    mentioned = {code for passage in hit.passages for mention in passage.mentions for code in mention.codes}
    return schemas.Explanation(
        lexical=_place(document.lexical),
        semantic=_place(document.semantic),
        fusion=fusion,
        terms=[word for number, word in enumerate(question.parsed.wanted_words) if number in met],
        concepts=[code for codes in question.parsed.concepts for code in codes if code in mentioned],
        assertion=round(document.assertion, 6),
    )


def _place(place: Place | None) -> schemas.LegPlace | None:
    return schemas.LegPlace(rank=place.rank, score=round(place.score, 6)) if place else None
