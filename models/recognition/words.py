"""Text as the words and word pieces that the encoder reads, with their places in the original."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from models.folders import ModelUnavailable, read_tokenizer

_BLOCK = 50_000
_END = re.compile(r"\s\S*\Z")


@dataclass(frozen=True, slots=True)
class Words:
    """The words of a text: word i is text[starts[i]:ends[i]], its pieces pieces[edges[i]:edges[i + 1]]."""

    starts: npt.NDArray[np.int32]
    ends: npt.NDArray[np.int32]
    pieces: npt.NDArray[np.int32]
    edges: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.starts)


class WordSplitter:
    """Words of a BERT-like tokenizer: as a rule runs between blanks, punctuation apart."""

    def __init__(self, tokenizer: Path) -> None:
        self._tokenizer = read_tokenizer(tokenizer)
        try:
            self.opening, self.closing = self._tokenizer.encode("").ids
        except ValueError as error:
            raise ModelUnavailable(
                f"The tokenizer {tokenizer} does not put one token before a text and one behind it: it is not that"
                " of a BERT-like encoder."
            ) from error

    def split(self, text: str) -> Words:
        """The words in order; a text without any gives none. Memory: 16 bytes a piece, whatever the length."""
        parts = [self._block(text[start:end], start) for start, end in _blocks(text)]
        starts, ends, pieces, counts = (
            np.concatenate([part[place] for part in parts] or [np.empty(0, dtype=np.int32)])
            for place in range(4)
        )
        edges = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return Words(starts, ends, pieces, edges)

    def _block(self, text: str, offset: int) -> tuple[npt.NDArray[np.int32], ...]:
        encoding = self._tokenizer.encode(text, add_special_tokens=False)
        places = np.array(encoding.offsets, dtype=np.int32).reshape(-1, 2)
        words = np.array(encoding.word_ids, dtype=np.int32)
        first = np.flatnonzero(np.diff(words, prepend=-1))
        behind = np.append(first[1:], len(words))[: len(first)].astype(np.int32)
        return (
            places[first, 0] + offset,
            places[behind - 1, 1] + offset,
            np.array(encoding.ids, dtype=np.int32),
            (behind - first).astype(np.int32),
        )


def _blocks(text: str) -> Iterator[tuple[int, int]]:
    """Pieces of bearable length, cut at white space where there is some."""
    start = 0
    while start < len(text):
        end = min(start + _BLOCK, len(text))
        if end < len(text) and (match := _END.search(text, end - 1000, end)):
            end = match.start() + 1
        yield start, end
        start = end
