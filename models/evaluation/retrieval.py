"""Retrieval test collections in the BEIR layout, and the usual figures over rankings."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.evaluation.corpora import DAMAGED, CorpusFault, open_text


@dataclass(frozen=True, slots=True)
class CorpusDocument:
    """A document of the collection."""

    identity: str
    title: str
    text: str


@dataclass(frozen=True, slots=True)
class Collection:
    """Documents, questions by id, and for each judged question the grade (above 0) of its documents."""

    documents: tuple[CorpusDocument, ...]
    queries: dict[str, str]
    grades: dict[str, dict[str, float]]


@dataclass(frozen=True, slots=True)
class RetrievalFigures:
    """Means over all judged questions."""

    ndcg_at_10: float
    recall_at_100: float
    queries: int


def read_collection(folder: Path) -> Collection:
    """A folder in the BEIR layout: `corpus.jsonl`, `queries.jsonl` (gzip or not), `qrels/test.tsv`.

    Raises `CorpusFault` when it is not one.
    """
    try:
        documents = tuple(
            CorpusDocument(str(line["_id"]), str(line.get("title", "")), str(line["text"]))
            for line in _lines(folder, "corpus.jsonl")
        )
        queries = {str(line["_id"]): str(line["text"]) for line in _lines(folder, "queries.jsonl")}
        grades: dict[str, dict[str, float]] = {}
        with (folder / "qrels" / "test.tsv").open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file, delimiter="\t"):
                if (grade := float(row["score"])) > 0:
                    grades.setdefault(row["query-id"], {})[row["corpus-id"]] = grade
    except (*DAMAGED, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorpusFault(f"{folder} is no collection in the BEIR layout: {error}") from error
    if not documents or not grades.keys() & queries.keys():
        raise CorpusFault(f"The collection in {folder} has no documents or no judged questions.")
    return Collection(documents, queries, {key: own for key, own in grades.items() if key in queries})


def ndcg(ranking: Sequence[str], grades: Mapping[str, float], *, depth: int = 10) -> float:
    """Normalised discounted cumulative gain (Järvelin and Kekäläinen 2002), the gain being the grade."""
    best = sorted(grades.values(), reverse=True)[:depth]
    ideal = sum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, 1))
    gained = (grades.get(key, 0.0) / math.log2(rank + 1) for rank, key in enumerate(ranking[:depth], 1))
    return sum(gained) / ideal


def recall(ranking: Sequence[str], grades: Mapping[str, float], *, depth: int = 100) -> float:
    """The share of the relevant documents that are among the first `depth`."""
    return len(grades.keys() & set(ranking[:depth])) / len(grades)


def figures(rankings: Mapping[str, Sequence[str]], collection: Collection) -> RetrievalFigures:
    """Of all judged questions; one without a ranking counts 0."""
    count = len(collection.grades)
    pairs = [(rankings.get(key, ()), own) for key, own in collection.grades.items()]
    return RetrievalFigures(
        sum(ndcg(ranking, own) for ranking, own in pairs) / count,
        sum(recall(ranking, own) for ranking, own in pairs) / count,
        count,
    )


def _lines(folder: Path, name: str) -> Iterator[dict[str, object]]:
    packed = folder / f"{name}.gz"
    with open_text(packed if packed.is_file() else folder / name) as lines:
        yield from (json.loads(line) for line in lines if line.strip())
