"""Many seeded documents of two passages, of which callers see different shares; and what an exact search finds."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import numpy.typing as npt

from domain.ids import new_id
from domain.search import AccessFilter, Filters, SemanticHit, Vector
from stores.ports import SearchIndex
from tests.contract.conformance.letters import DIMENSION, Letter, Part

TOPICS = 40
QUESTIONS = 12


@dataclass(frozen=True)
class Crowd:
    """`vectors` has shape (documents, 2, dimension); document i is seen by a share when i is a multiple of its step."""

    ids: Sequence[UUID]
    vectors: npt.NDArray[np.float32]
    questions: npt.NDArray[np.float32]
    shares = (0.001, 0.05, 0.5)

    @classmethod
    def seeded(cls, documents: int) -> Crowd:
        """Vectors gather around topics, as those of texts do, and questions lie near passages."""
        rng = np.random.default_rng(20)
        topics = rng.normal(size=(TOPICS, DIMENSION))
        chosen = rng.integers(0, TOPICS, size=(documents, 2))
        vectors = _unit(topics[chosen] + 0.7 * rng.normal(size=(documents, 2, DIMENSION)))
        asked = vectors[rng.integers(0, documents, QUESTIONS), 0]
        questions = _unit(asked + 0.1 * rng.normal(size=asked.shape))
        return cls([new_id() for _ in range(documents)], vectors, questions)

    def caller(self, share: float) -> tuple[AccessFilter, set[UUID]]:
        """Somebody who sees that share, and the documents that are."""
        mine = {one for number, one in enumerate(self.ids) if number % round(1 / share) == 0}
        return AccessFilter(frozenset({f"user:{share}"})), mine

    async def fill(self, index: SearchIndex, generation: str, *, batch: int = 500) -> None:
        for start in range(0, len(self.ids), batch):
            numbers = range(start, min(start + batch, len(self.ids)))
            await index.write(generation, [self._letter(number).put for number in numbers])

    async def recall(self, index: SearchIndex, access: AccessFilter, mine: set[UUID], *, limit: int) -> float:
        """`recall_of` of the index's vector search."""
        return await self.recall_of(
            lambda question: index.semantic(question, access, filters=Filters(), limit=limit),
            mine,
            limit=limit,
        )

    async def recall_of(
        self, search: Callable[[Vector], Awaitable[list[SemanticHit]]], mine: set[UUID], *, limit: int
    ) -> float:
        """The mean share of the truly nearest documents among those found, over all questions."""
        found = []
        for question in self.questions:
            hits = await search(question)
            truth = self._nearest(question, mine, limit)
            ids = [hit.document_id for hit in hits]
            assert len(ids) == len(set(ids)) == len(truth)
            assert set(ids) <= mine
            similarities = [hit.similarity for hit in hits]
            assert similarities == sorted(similarities, reverse=True)
            found.append(len(truth & set(ids)) / len(truth))
        return float(np.mean(found))

    def _nearest(self, question: npt.NDArray[np.float32], mine: set[UUID], limit: int) -> set[UUID]:
        best = (self.vectors @ question).max(axis=1)
        order = [self.ids[number] for number in np.argsort(-best)]
        return set([one for one in order if one in mine][:limit])

    def _letter(self, number: int) -> Letter:
        seen = [f"user:{share}" for share in self.shares if number % round(1 / share) == 0]
        parts = [Part(f"common word{number % 7} w{number}", vector=vector) for vector in self.vectors[number]]
        return Letter(
            parts,
            id=self.ids[number],
            access=["user:nobody", *seen],
            document_type=("article", "other")[number % 2],
        )


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)
