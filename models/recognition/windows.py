"""Long text as windows of words: each word is judged in the one window where it is far from the edges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from models.recognition.features import Matrix, word_features, word_letters
from models.recognition.network import Batch
from models.recognition.words import Words, WordSplitter
from models.terminology import Vocabulary

PIECES = 160
"""Most word pieces of a window."""

MARGIN = 24
"""Pieces at both edges that are read but judged elsewhere."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """A text as the network reads it."""

    words: Words
    features: Matrix
    letters: Matrix


@dataclass(frozen=True, slots=True)
class Window:
    """Words [start, end) are read, mentions that begin in [core_start, core_end) are kept."""

    start: int
    end: int
    core_start: int
    core_end: int


class TextEncoder:
    """Texts to what the network reads."""

    def __init__(self, splitter: WordSplitter, vocabulary: Vocabulary) -> None:
        self._splitter = splitter
        self._vocabulary = vocabulary

    def encode(self, text: str) -> Encoded:
        words = self._splitter.split(text)
        return Encoded(words, word_features(text, words, self._vocabulary), word_letters(text, words))

    def batch(self, windows: Sequence[tuple[Encoded, int, int]]) -> Batch:
        """Words [start, end) of each text, padded to the longest."""
        pieces = 2 + max(int(each.words.edges[end] - each.words.edges[start]) for each, start, end in windows)
        words = max(end - start for _, start, end in windows)
        rows = len(windows)
        ids = np.zeros((rows, pieces), dtype=np.int64)
        mask = np.zeros((rows, pieces), dtype=np.bool_)
        owner = np.full((rows, pieces), words, dtype=np.int64)
        first, last = np.zeros((2, rows, words), dtype=np.int64)
        word_mask = np.zeros((rows, words), dtype=np.bool_)
        features = np.zeros((rows, words, windows[0][0].features.shape[1]), dtype=np.float32)
        letters = np.zeros((rows, words, windows[0][0].letters.shape[1]), dtype=np.int64)
        for row, (each, start, end) in enumerate(windows):
            edges = each.words.edges[start : end + 1]
            size, count = int(edges[-1] - edges[0]), end - start
            ids[row, 0] = self._splitter.opening
            ids[row, 1 : size + 1] = each.words.pieces[edges[0] : edges[-1]]
            ids[row, size + 1] = self._splitter.closing
            mask[row, : size + 2] = True
            owner[row, 1 : size + 1] = np.repeat(np.arange(count), np.diff(edges))
            first[row, :count] = edges[:-1] - edges[0] + 1
            last[row, :count] = edges[1:] - edges[0]
            word_mask[row, :count] = True
            features[row, :count] = each.features[start:end]
            letters[row, :count] = each.letters[start:end]
        arrays = (ids, mask, owner, first, last, features, letters, word_mask)
        return Batch(*map(torch.from_numpy, arrays))


def cut(words: Words, *, pieces: int = PIECES, margin: int = MARGIN) -> Iterator[Window]:
    """Windows whose cores are all words, each once, in order."""
    edges = words.edges
    start = core_start = 0
    while core_start < len(words):
        end = max(core_start + 1, _reach(edges, start, pieces))
        core_end = end if end == len(words) else max(core_start + 1, _before(edges, end, margin))
        yield Window(start, end, core_start, core_end)
        core_start = core_end
        start = min(core_start, _before(edges, core_start, margin))


def _reach(edges: np.ndarray, start: int, pieces: int) -> int:
    """Behind the last word of which all pieces fit; at least one word."""
    behind = int(np.searchsorted(edges, edges[start] + pieces, side="right")) - 1
    return max(start + 1, behind)


def _before(edges: np.ndarray, word: int, pieces: int) -> int:
    """The first of the words that make up at most so many pieces before `word`."""
    return int(np.searchsorted(edges, edges[word] - pieces, side="left"))
