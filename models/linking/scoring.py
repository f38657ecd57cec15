"""How probable it is that a mention means one of the names that are near it.

A conditional logit (McFadden 1974) with an outside option, for each terminology by itself: the near names and
"none of them" share the probability. Its weights are fitted to synonyms that neither table nor index had
seen, so that of the concepts with a score of .8 about eight in ten are right.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from models.terminology.merging import Key, key_of

Figures = npt.NDArray[np.float64]

FEATURES = (
    "near",
    "very near",
    "shared letters",
    "words of the mention",
    "words of the name",
    "other number or side",
    "same words",
    "further names",
)
OUTSIDE = ("none", "one word")

_TELLING = re.compile(
    r"\d[\d.]*|[ivx]+|left|right|bilateral|unilateral|upper|lower|anterior|posterior|proximal|distal"
    r"|alpha|beta|gamma|increased|elevated|high|decreased|reduced|low|hyper\w+|hypo\w+"
)


@dataclass(frozen=True, slots=True)
class Reading:
    """A name as it is compared: its words, their runs of three letters, and the words that tell it apart."""

    key: Key
    words: frozenset[str]
    letters: frozenset[str]
    telling: frozenset[str]


def read(name: str) -> Reading:
    """The reading of a name; a text without words has an empty one."""
    key = key_of(name)
    text = f" {' '.join(key)} "
    return Reading(
        key,
        frozenset(key),
        frozenset(text[start : start + 3] for start in range(len(text) - 2)),
        frozenset(word for word in key if _TELLING.fullmatch(word)),
    )


def features(
    mention: Reading, names: Sequence[Reading], cosines: Sequence[float], further: Sequence[int]
) -> Figures:
    """(n, len(FEATURES)) of names with their cosines; `further`: other near names that mean the same."""
    made = np.zeros((len(names), len(FEATURES)))
    for row, (name, cosine, others) in enumerate(zip(names, cosines, further, strict=True)):
        words = len(mention.words & name.words)
        made[row] = (
            cosine,
            -np.log(1.02 - min(cosine, 1.0)),
            2 * len(mention.letters & name.letters) / ((len(mention.letters) + len(name.letters)) or 1),
            words / (len(mention.words) or 1),
            words / (len(name.words) or 1),
            mention.telling != name.telling,
            mention.words == name.words,
            np.log1p(others),
        )
    return made


def outside_features(mention: Reading) -> Figures:
    """(len(OUTSIDE),) of "none of them"."""
    return np.array([1.0, len(mention.key) == 1])


def probabilities(near: Figures, outside: Figures, weights: Figures) -> Figures:
    """Of each name, given their `features` and the mention's `outside_features`; the rest to 1 is "none"."""
    scores = np.append(near @ weights[: len(FEATURES)], outside @ weights[len(FEATURES) :])
    raised = np.exp(scores - scores.max())
    shares: Figures = (raised / raised.sum())[:-1]
    return shares
