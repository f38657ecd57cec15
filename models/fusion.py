"""Two ranked legs made one: reciprocal ranks, or a weighted sum of scores brought to [0, 1].

`reciprocal_rank` follows Cormack, Clarke and Büttcher (SIGIR 2009). `weighted` is the convex combination of
Bruch, Gai and Ingber (TOIS 2023): each leg is scaled between the least score it can give, which is known, and
the best it gave. So what was found never counts as what was not, and the depth of a leg changes nothing.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

Key = TypeVar("Key", bound=Hashable)

RANK_CONSTANT = 60


def reciprocal_rank(legs: Sequence[Sequence[Key]], weights: Sequence[float]) -> dict[Key, float]:
    """Score in [0, 1] of each key of any leg (best first); 1 for what leads all. Weights add up to 1."""
    fused: dict[Key, float] = {}
    for leg, weight in zip(legs, weights, strict=True):
        for rank, key in enumerate(leg, start=1):
            fused[key] = fused.get(key, 0.0) + weight * (RANK_CONSTANT + 1) / (RANK_CONSTANT + rank)
    return fused


def weighted(legs: Sequence[Mapping[Key, float]], weights: Sequence[float]) -> dict[Key, float]:
    """Weighted sum in [0, 1] of normalised scores; absent from a leg counts 0. Weights add up to 1."""
    fused: dict[Key, float] = {}
    for leg, weight in zip(legs, weights, strict=True):
        for key, score in leg.items():
            fused[key] = fused.get(key, 0.0) + weight * score
    return fused


def normalised(scores: Mapping[Key, float], *, least: float) -> dict[Key, float]:
    """Scores scaled to [0, 1] between `least` and the best; all 1 when the best is no more than `least`."""
    span = max(scores.values(), default=least) - least
    if span <= 0:
        return dict.fromkeys(scores, 1.0)
    return {key: min(1.0, max(0.0, (score - least) / span)) for key, score in scores.items()}
