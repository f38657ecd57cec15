"""Names as vectors: of their words and the words' letters, learned from the synonyms of the terminologies.

A word is itself and the runs of three and four letters in it (fastText, Bojanowski et al. 2017), hashed into
rows of one table; a name is the sum of its words, normalised. So "renal stone" lies near "kidney calculus",
which the synonyms teach, and near "renal stoen", which shares its letters. Numpy alone, some microseconds a
name. The table is trained by `models.training.linking`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from models.encoders import ModelUnavailable
from models.terminology.merging import Key

BITS = 16
"""The table has 2**BITS rows."""
GRAMS = (3, 4)
LONGEST_WORD = 60
"""Letters of a word that count."""
WEIGHTS = Path(__file__).parent / "data" / "linking.safetensors"

Vectors = npt.NDArray[np.float32]


def word_rows(word: str) -> Iterator[int]:
    """Rows of the table that make a word's vector."""
    yield _row(word)
    edged = f"<{word[:LONGEST_WORD]}>"
    for length in GRAMS:
        for start in range(len(edged) - length + 1):
            yield _row(edged[start : start + length])


def _row(feature: str) -> int:
    return crc32(feature.encode("utf-8", "surrogatepass")) & ((1 << BITS) - 1)


class NameVectors:
    """Vectors of names, float32 of length 1, of a table of int8 rows with a scale each.

    The same name has the same vector whatever it is asked with.
    """

    def __init__(self, table: npt.NDArray[np.int8], scales: npt.NDArray[np.float32]) -> None:
        self._table, self._scales = table, scales
        self.dimension = table.shape[1]
        self._word = lru_cache(maxsize=50_000)(self._of_word)

    def of(self, name: Key) -> Vectors:
        """(dimension,): all zeros for a name without words."""
        total = sum((self._word(word) for word in name), np.zeros(self.dimension, dtype=np.float32))
        length = float(np.linalg.norm(total))
        return total / np.float32(length) if length else total

    def of_all(self, names: Iterable[Key]) -> Vectors:
        """(n, dimension), in order."""
        rows = [self.of(name) for name in names]
        return np.stack(rows) if rows else np.zeros((0, self.dimension), dtype=np.float32)

    def _of_word(self, word: str) -> Vectors:
        rows = np.fromiter(word_rows(word), dtype=np.int64)
        vector: Vectors = self._scales[rows] @ self._table[rows].astype(np.float32)
        return vector


def quantised(table: Vectors) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """A float table as `NameVectors` takes it: row i is about `scales[i] * rows[i]`."""
    scales = np.maximum(np.abs(table).max(axis=1), 1e-12) / 127
    return np.rint(table / scales[:, None]).astype(np.int8), scales.astype(np.float16).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Weights:
    """What was trained: the vectors, and the weights of `models.linking.scoring`."""

    vectors: NameVectors
    logit: npt.NDArray[np.float64]
    digest: str
    """Tells them from others."""


def read_weights(path: Path = WEIGHTS) -> Weights:
    """Those of a file that `models.training.linking` wrote. Raises `ModelUnavailable`."""
    try:
        digest = sha256(path.read_bytes()).hexdigest()
        arrays = load_file(path)
        vectors = NameVectors(arrays["table"], arrays["scales"])
        return Weights(vectors, arrays["logit"], digest[:12])
    except (OSError, SafetensorError, KeyError) as error:
        raise ModelUnavailable(
            f"The weights of linking in {path} cannot be read: install medsearch again."
        ) from error
