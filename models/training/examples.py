"""Labelled texts as the recogniser learns them: which tags each corpus leaves open, cut into windows, in batches."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from domain.text import MentionType
from models.evaluation.corpora import LabelledText, read_corpus
from models.recognition.network import Batch
from models.recognition.tags import TAGS, Allowed, WordSpan, allowed_tags
from models.recognition.windows import PIECES, Encoded, TextEncoder
from models.recognition.words import Words

ALL = frozenset(MentionType)

MACCROBAT = {
    "Sign_symptom": MentionType.SIGN,
    "Disease_disorder": MentionType.PROBLEM,
    "Medication": MentionType.DRUG,
    "Therapeutic_procedure": MentionType.PROCEDURE,
    "Diagnostic_procedure": MentionType.TEST,
    "Biological_structure": MentionType.ANATOMY,
}
ABSTRACTS = {"Disease": MentionType.PROBLEM, "Chemical": MentionType.DRUG}
UNJUDGED = frozenset({"History", "Family_history"})
"""Spans of whole phrases within which MACCROBAT marks no diseases: they teach nothing."""

HELD_OUT_EVERY = 5
"""Of MACCROBAT's reports in the order of their names, each fifth is kept for the measurement."""

OWN_DEV_EVERY = 20
"""Of all training texts, each twentieth decides when to stop."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the outcome, beside data and code."""

    seed: int = 20
    epochs: int = 8
    cooldown: int = 3
    batch: int = 8
    pieces: int = PIECES
    encoder_rate: float = 2.5e-4
    head_rate: float = 1e-3
    layer_decay: float = 0.9
    warmup_steps: int = 300
    weight_decay: float = 0.01
    clip: float = 1.0
    average: float = 0.998
    report_copies: int = 2
    """How often each clinical report is read in an epoch: there are few."""


@dataclass(frozen=True, slots=True)
class Example:
    """A text with the tags that its corpus leaves open, and the mentions it names."""

    corpus: str
    encoded: Encoded
    allowed: Allowed
    spans: tuple[WordSpan, ...]
    annotated: frozenset[MentionType]
    copies: int = 1


def maccrobat(folder: Path) -> tuple[list[LabelledText], list[LabelledText]]:
    """(for training, held out) of the given reports."""
    reports = read_corpus(folder / "ner/maccrobat_train.tar.gz", "brat")
    held = [report for place, report in enumerate(reports) if place % HELD_OUT_EVERY == HELD_OUT_EVERY - 1]
    names = {report.name for report in held}
    return [report for report in reports if report.name not in names], held


def examples(folder: Path, encoder: TextEncoder, plan: Plan) -> tuple[list[Example], list[Example]]:
    """(for learning, for stopping), from the training parts only."""
    disease, both = frozenset({MentionType.PROBLEM}), frozenset({MentionType.PROBLEM, MentionType.DRUG})
    reports, _ = maccrobat(folder)
    bc5cdr = read_corpus(folder / "ner/bc5cdr/train.tsv.gz", "iob")
    ncbi = read_corpus(folder / "ner/ncbi_disease/train.tsv.gz", "iob")
    made = [
        *(example("bc5cdr", text, encoder, ABSTRACTS, both) for text in bc5cdr),
        *(example("ncbi", text, encoder, ABSTRACTS, disease) for text in ncbi),
        *(example("maccrobat", text, encoder, MACCROBAT, ALL, plan.report_copies) for text in reports),
    ]
    own_dev = [each for place, each in enumerate(made) if place % OWN_DEV_EVERY == 7]
    return [each for place, each in enumerate(made) if place % OWN_DEV_EVERY != 7], own_dev


def example(
    corpus: str,
    text: LabelledText,
    encoder: TextEncoder,
    types: dict[str, MentionType],
    annotated: frozenset[MentionType],
    copies: int = 1,
) -> Example:
    """`text` for learning; of spans that overlap, the longest counts."""
    encoded = encoder.encode(text.text)
    spans: list[WordSpan] = []
    taken = np.zeros(len(encoded.words), dtype=np.bool_)
    for span in sorted(text.spans, key=lambda each: each.start - each.end):
        kind = types.get(span.type)
        first, behind = _in_words(encoded.words, span.start, span.end)
        if kind is not None and behind > first and not taken[first:behind].any():
            taken[first:behind] = True
            spans.append((first, behind, kind))
    allowed = allowed_tags(len(encoded.words), spans, annotated)
    for span in text.spans:
        if span.type in UNJUDGED:
            first, behind = _in_words(encoded.words, span.start, span.end)
            allowed[first:behind] |= ~taken[first:behind, None]
    return Example(corpus, encoded, allowed, tuple(sorted(spans)), annotated, copies)


def _in_words(words: Words, start: int, end: int) -> tuple[int, int]:
    first = int(np.searchsorted(words.ends, start, side="right"))
    return first, int(np.searchsorted(words.starts, end, side="left"))


Piece = tuple[Example, int, int]


def epoch_batches(learning: Sequence[Example], plan: Plan, epoch: int) -> list[list[Piece]]:
    """The batches of an epoch: every word once a copy, windows cut anew each time, of similar length."""
    chance = random.Random(plan.seed * 1000 + epoch)  # noqa: S311 - reproducible on purpose
    pieces = [
        (each, start, end)
        for each in learning
        for _ in range(each.copies)
        for start, end in _random_windows(each.encoded.words, plan.pieces, chance)
    ]
    chance.shuffle(pieces)
    size = plan.batch
    pools = [pieces[start : start + 50 * size] for start in range(0, len(pieces), 50 * size)]
    batches = [
        pool[start : start + size]
        for pool in (sorted(pool, key=_length) for pool in pools)
        for start in range(0, len(pool), size)
    ]
    chance.shuffle(batches)
    return batches


def _random_windows(words: Words, pieces: int, chance: random.Random) -> Iterator[tuple[int, int]]:
    start = 0
    limit = chance.randint(pieces // 4, pieces)
    while start < len(words):
        end = max(start + 1, int(np.searchsorted(words.edges, words.edges[start] + limit, side="right")) - 1)
        yield start, end
        start, limit = end, pieces


def _length(piece: Piece) -> int:
    each, start, end = piece
    return int(each.encoded.words.edges[end] - each.encoded.words.edges[start])


def batch_of(pieces: Sequence[Piece], encoder: TextEncoder) -> tuple[Batch, Tensor]:
    batch = encoder.batch([(each.encoded, start, end) for each, start, end in pieces])
    allowed = np.ones((*batch.word_mask.shape, TAGS), dtype=np.bool_)
    for row, (each, start, end) in enumerate(pieces):
        allowed[row, : end - start] = each.allowed[start:end]
    return batch, torch.from_numpy(allowed)
