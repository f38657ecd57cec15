"""What the encoder does not see of a word: how it is written, and which names of the vocabulary it is part of."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from domain.text import MentionType
from models.analysis import analyse
from models.recognition.dictionary import names_in
from models.recognition.words import Words
from models.terminology import Vocabulary

LETTERS = 16
"""A longer word is read by its first and last eight letters."""

_NAMED = (MentionType.PROBLEM, MentionType.SIGN, MentionType.DRUG)
_PLACES = 4
_SHAPES = 9
WIDTH = len(_NAMED) * _PLACES + _SHAPES + 1

Matrix = npt.NDArray[np.uint8]


def word_features(text: str, words: Words, vocabulary: Vocabulary) -> Matrix:
    """(n, WIDTH) of 0 and 1: place in a dictionary name by type, shape, whether a blank comes before."""
    features = np.zeros((len(words), WIDTH), dtype=np.uint8)
    _mark_names(features, text, words, vocabulary)
    shapes = len(_NAMED) * _PLACES
    for index, (start, end) in enumerate(zip(words.starts.tolist(), words.ends.tolist(), strict=True)):
        features[index, shapes + _shape(text[start:end])] = 1
        features[index, -1] = start == 0 or text[start - 1].isspace()
    return features


def word_letters(text: str, words: Words) -> Matrix:
    """(n, LETTERS) character codes as written; 0 behind the end, 1 for anything outside ASCII."""
    letters = np.zeros((len(words), LETTERS), dtype=np.uint8)
    for index, (start, end) in enumerate(zip(words.starts.tolist(), words.ends.tolist(), strict=True)):
        if end - start > LETTERS:
            word = text[start : start + LETTERS // 2] + text[end - LETTERS // 2 : end]
        else:
            word = text[start:end]
        codes = [code if code < 128 else 1 for code in map(ord, word)]
        letters[index, : len(codes)] = codes
    return letters


def _mark_names(features: Matrix, text: str, words: Words, vocabulary: Vocabulary) -> None:
    """The longest name of each type from the left."""
    terms = analyse(text)
    found = sorted(names_in(text, terms, vocabulary), key=lambda each: (each[0], -each[1])) if terms else []
    behind_last = dict.fromkeys(_NAMED, 0)
    for first, behind, meaning in found:
        kind = meaning.type
        if kind not in behind_last or first < behind_last[kind]:
            continue
        behind_last[kind] = behind
        start = int(np.searchsorted(words.ends, terms[first].start, side="right"))
        end = int(np.searchsorted(words.starts, terms[behind - 1].end, side="left"))
        column = _NAMED.index(kind) * _PLACES
        if end - start == 1:
            features[start, column + 3] = 1
        elif end > start:
            features[start, column] = 1
            features[start + 1 : end - 1, column + 1] = 1
            features[end - 1, column + 2] = 1


def _shape(word: str) -> int:
    if word.isalpha():
        if word.islower():
            return 0
        if word.isupper():
            return 1 if len(word) > 1 else 2
        return 3 if word[1:].islower() else 4
    if word.isdigit():
        return 5
    if word.isalnum():
        return 6
    return 7 if word.isascii() else 8
