"""Tags of a word: outside, or begin, inside, end of a mention of a type, or a mention of its own (BIOES)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt

from domain.text import MentionType

TYPES = tuple(MentionType)
OUTSIDE = 0
TAGS = 1 + 4 * len(TYPES)
_BEGIN, _INSIDE, _END, _SINGLE = range(4)

Allowed = npt.NDArray[np.bool_]
WordSpan = tuple[int, int, MentionType]
"""(first word, behind the last word, type)."""


def tag(kind: MentionType, place: int) -> int:
    """The number of a tag; `place` counts begin, inside, end, single."""
    return 1 + 4 * TYPES.index(kind) + place


def transitions() -> npt.NDArray[np.bool_]:
    """(TAGS, TAGS): which tag may follow which."""
    allowed = np.zeros((TAGS, TAGS), dtype=np.bool_)
    for before in range(TAGS):
        for after in range(TAGS):
            open_type = (before - 1) // 4 if before and (before - 1) % 4 in (_BEGIN, _INSIDE) else None
            goes_on = bool(after) and (after - 1) % 4 in (_INSIDE, _END)
            allowed[before, after] = (
                goes_on and (after - 1) // 4 == open_type if open_type is not None else not goes_on
            )
    return allowed


def allowed_tags(length: int, spans: Iterable[WordSpan], annotated: frozenset[MentionType]) -> Allowed:
    """(length, TAGS): the tags that the annotation leaves open.

    A word outside of all spans may be outside or part of a mention of a type that the corpus does not
    annotate: what nobody looked for is not absent.
    """
    allowed = np.zeros((length, TAGS), dtype=np.bool_)
    allowed[:, OUTSIDE] = True
    for kind in TYPES:
        if kind not in annotated:
            allowed[:, tag(kind, _BEGIN) : tag(kind, _SINGLE) + 1] = True
    for first, behind, kind in spans:
        allowed[first:behind] = False
        if behind - first == 1:
            allowed[first, tag(kind, _SINGLE)] = True
        else:
            allowed[first, tag(kind, _BEGIN)] = True
            allowed[first + 1 : behind - 1, tag(kind, _INSIDE)] = True
            allowed[behind - 1, tag(kind, _END)] = True
    return allowed


def spans_of(tags: Sequence[int]) -> Iterator[WordSpan]:
    """The mentions of a sequence of tags; one that the sequence's edge cuts is left out."""
    begun: int | None = None
    for index, each in enumerate(tags):
        if each == OUTSIDE:
            begun = None
            continue
        kind, place = TYPES[(each - 1) // 4], (each - 1) % 4
        if place == _SINGLE:
            yield index, index + 1, kind
        elif place == _BEGIN:
            begun = index
        elif place == _END and begun is not None:
            yield begun, index + 1, kind
            begun = None
