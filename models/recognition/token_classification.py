"""A token classifier of `transformers`, from a folder or the hub, as what finds the mentions of a text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import torch

from domain.text import MentionType
from models.folders import TOKENIZER
from models.pretrained import read_pretrained
from models.recognition.classifiers import Classifier
from models.recognition.finder import BATCH, find_spans
from models.recognition.labels import spans_of_labels
from models.recognition.tags import WordSpan
from models.recognition.windows import Window
from models.recognition.words import Words, WordSplitter

LONGEST = 254
"""Most word pieces of a window, which such models have rarely seen more of."""


class ClassifierFinder:
    """Mentions of a text; the same whatever the batches are. A word is what its first piece is."""

    def __init__(
        self, classifier: Classifier, *, device: torch.device, threads: int, batch: int = BATCH
    ) -> None:
        torch.set_num_threads(threads)
        self._splitter = WordSplitter(classifier.folder / TOKENIZER)
        self._labels = classifier.labels
        self._pieces = min(classifier.longest - 2, LONGEST)
        self._device = device
        self._batch = batch
        model = read_pretrained("AutoModelForTokenClassification", classifier.folder, torch.float32)
        self._padding = model.config.pad_token_id or 0
        self._model: Any = model.to(device)

    def find(self, text: str) -> list[tuple[int, int, MentionType]]:
        """(start, end, type) in order, not overlapping; half-open code points of `text`."""
        words = self._splitter.split(text)
        spans = find_spans(
            words,
            partial(self._judge, words),
            batch=self._batch,
            pieces=self._pieces,
            margin=self._pieces // 8,
        )
        placed = [(int(words.starts[first]), int(words.ends[last - 1]), kind) for first, last, kind in spans]
        return [_trimmed(text, *span) for span in placed if not text[span[0] : span[1]].isspace()]

    def _judge(self, words: Words, windows: Sequence[Window]) -> Iterator[Iterator[WordSpan]]:
        edges = [words.edges[window.start : window.end + 1] for window in windows]
        rows = [words.pieces[own[0] : own[-1]][: self._pieces].tolist() for own in edges]
        longest = 2 + max(map(len, rows))
        ids = torch.full((len(rows), longest), self._padding, dtype=torch.long)
        mask = torch.zeros(len(rows), longest, dtype=torch.long)
        for row, pieces in enumerate(rows):
            filled = [self._splitter.opening, *pieces, self._splitter.closing]
            ids[row, : len(filled)] = torch.tensor(filled)
            mask[row, : len(filled)] = 1
        with torch.inference_mode():
            scores = self._model(
                input_ids=ids.to(self._device), attention_mask=mask.to(self._device)
            ).logits.cpu()
        for row, own in enumerate(edges):
            first = torch.from_numpy(own[:-1] - own[0] + 1).long()
            best = scores[row, first].argmax(dim=1).tolist()
            yield spans_of_labels([self._labels[number] for number in best])


def _trimmed(text: str, start: int, end: int, kind: MentionType) -> tuple[int, int, MentionType]:
    """Without white space at the edges, which some tokenizers count as part of a word."""
    surface = text[start:end]
    return start + len(surface) - len(surface.lstrip()), end - len(surface) + len(surface.rstrip()), kind
