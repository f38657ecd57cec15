"""Names as numbers: a sequence of words has a 64-bit key that can be computed for all windows of a text at
once.

The key of words w1..wn is `((h(w1) * P + h(w2)) * P + ...) mod 2**64`, h being 8 bytes of BLAKE2b. With some
300,000 names the chance that any window of a million meets a wrong key is about one in 10**8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from models.spelling import lookup_form

_P = 0x9E3779B97F4A7C15
_MASK = (1 << 64) - 1
Keys = npt.NDArray[np.uint64]


@lru_cache(maxsize=200_000)
def word_key(word: str) -> int:
    """Key of a folded word, the same for its singular and plural, American and British forms."""
    return form_key(lookup_form(word))


def form_key(form: str) -> int:
    """Key of a word that is a `lookup_form` already."""
    return int.from_bytes(blake2b(form.encode(), digest_size=8).digest(), "little")


def name_key(keys: Iterable[int]) -> int:
    """Key of a name, given those of its words."""
    combined = 0
    for key in keys:
        combined = (combined * _P + key) & _MASK
    return combined


def word_keys(words: Sequence[str]) -> Keys:
    return np.fromiter(map(word_key, words), dtype=np.uint64, count=len(words))


def extend(keys: Keys, words: Keys) -> Keys:
    """Keys of windows one word longer: `keys[i]` covers words i..i+n-1, the result words i..i+n."""
    length = len(words) - len(keys) + 1
    extended: Keys = keys[:-1] * np.uint64(_P) + words[length:]
    return extended
