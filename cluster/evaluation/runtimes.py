"""`medsearch models benchmark`: the encoder in each number type, side by side on the same passages.

Rounds alternate between the types, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from cluster.demo.letters import FOLDER
from cluster.evaluation.inventory import resident_bytes
from config.settings import ModelSettings, NumberType
from models.embedding import TransformerEmbedder, Vectors, load_embedder
from models.encoders import locate
from models.folders import TOKENIZER, ModelUnavailable
from models.passages import WordPieceTokenizer
from models.runtime import choose_runtime, has_int8, torch_device

NEAREST = 10
_SPECIAL_TOKENS = 2


@dataclass(frozen=True, slots=True)
class RuntimeFigures:
    """Medians over the rounds; `ratio` and agreement are to the first number type, of the same round."""

    runtime: str
    passages_per_second: float
    ratio: float
    memory_bytes: int
    mean_cosine: float
    least_cosine: float
    nearest_overlap: float


def number_types(device: str) -> list[NumberType]:
    """float32, and what `auto` might choose on this device."""
    if torch_device(device).type == "cuda":
        return [NumberType.FLOAT32, NumberType.BFLOAT16, NumberType.FLOAT16]
    own = choose_runtime(device, NumberType.AUTO).numbers
    wanted = [NumberType.FLOAT32, own, *([NumberType.INT8] if has_int8() else [])]
    return list(dict.fromkeys(wanted))


def demo_passages(settings: ModelSettings, *, count: int, tokens: int) -> list[str]:
    """Pieces of the demo's documents, of so many tokens of the encoder each (special ones counted)."""
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.md")))
    ends = [0, *WordPieceTokenizer(locate(settings.encoder).folder / TOKENIZER).ends(text)]
    size = max(1, tokens - _SPECIAL_TOKENS)
    last = max(1, len(ends) - 1 - size)
    starts = [number * last // count for number in range(count)]
    return [text[ends[start] : ends[min(start + size, len(ends) - 1)]] for start in starts]


def measure(
    settings: ModelSettings,
    texts: Sequence[str],
    types: Sequence[NumberType],
    *,
    rounds: int,
    advance: Callable[[], object],
) -> list[RuntimeFigures]:
    """Figures in the order of `types`. Raises `ModelUnavailable` when a type cannot be had here."""
    embedders: list[TransformerEmbedder] = []
    vectors: list[Vectors] = []
    memory: list[int] = []
    for kind in types:
        before = resident_bytes()
        embedders.append(load_embedder(settings.model_copy(update={"number_type": kind})))
        vectors.append(embedders[-1].embed(texts))
        memory.append(max(0, resident_bytes() - before))
    seconds: list[list[float]] = [[] for _ in types]
    for _ in range(rounds):
        for own, embedder in zip(seconds, embedders, strict=True):
            start = time.perf_counter()
            embedder.embed(texts)
            own.append(time.perf_counter() - start)
            advance()
    return [
        RuntimeFigures(
            str(embedder.runtime),
            len(texts) / median(own),
            median(first / each for first, each in zip(seconds[0], own, strict=True)),
            used,
            *agreement(vectors[0], made),
        )
        for embedder, own, used, made in zip(embedders, seconds, memory, vectors, strict=True)
    ]


def agreement(wanted: Vectors, made: Vectors) -> tuple[float, float, float]:
    """(mean, least cosine of each text's two vectors, mean overlap of its ten nearest other texts)."""
    if wanted.shape != made.shape:
        raise ModelUnavailable("The two models have vectors of different sizes.")
    cosines = (wanted * made).sum(axis=1)
    shared = [
        len(one & other) / max(len(one), 1)
        for one, other in zip(_nearest(wanted), _nearest(made), strict=True)
    ]
    return float(cosines.mean()), float(cosines.min()), float(np.mean(shared))


def _nearest(vectors: Vectors) -> list[set[int]]:
    likeness = vectors @ vectors.T
    np.fill_diagonal(likeness, -np.inf)
    near = min(NEAREST, len(vectors) - 1)
    return [set(np.argsort(-row)[:near].tolist()) for row in likeness]
