"""The network over texts of any length: windows in batches of like length, spans in the original."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from domain.text import MentionType
from models.encoders import ModelUnavailable
from models.recognition.network import RecogniserNetwork, load_encoder
from models.recognition.tags import WordSpan, spans_of
from models.recognition.windows import MARGIN, PIECES, Encoded, TextEncoder, Window, cut
from models.recognition.words import Words, WordSplitter
from models.terminology import Vocabulary

BATCH = 8
"""Windows read at once."""

GROUP = 64
"""Windows sorted by length at a time: what a document of any length holds in memory."""


Judge = Callable[[Sequence[Window]], Iterable[Iterable[WordSpan]]]


class SpanFinder:
    """Mentions of a text; the same whatever the batches are."""

    def __init__(
        self, network: RecogniserNetwork, encoder: TextEncoder, device: torch.device, *, batch: int = BATCH
    ) -> None:
        self._network = network.to(device).eval()
        self._encoder = encoder
        self._device = device
        self._batch = batch

    def find(self, text: str) -> list[tuple[int, int, MentionType]]:
        """(start, end, type) in order, not overlapping; half-open code points of `text`."""
        encoded = self._encoder.encode(text)
        spans = self.spans(encoded)
        words = encoded.words
        return [
            (int(words.starts[first]), int(words.ends[behind - 1]), kind) for first, behind, kind in spans
        ]

    def spans(self, encoded: Encoded) -> list[WordSpan]:
        """The same in words."""
        return find_spans(encoded.words, partial(self._judge, encoded), batch=self._batch)

    def _judge(self, encoded: Encoded, windows: Sequence[Window]) -> Iterator[Iterator[WordSpan]]:
        batch = self._encoder.batch([(encoded, window.start, window.end) for window in windows])
        return map(spans_of, self._network.tags(batch.to(self._device)))


def find_spans(
    words: Words, judge: Judge, *, batch: int, pieces: int = PIECES, margin: int = MARGIN
) -> list[WordSpan]:
    """The spans in words, in order, not overlapping, of a text that is read in windows.

    `judge` says what is in each of at most `batch` windows, counted from the window's first word; of like length,
    so that little is padding.
    """
    windows = cut(words, pieces=pieces, margin=margin)
    found: list[WordSpan] = []
    while group := list(islice(windows, GROUP)):
        by_length = sorted(group, key=lambda window: window.start - window.end)
        for start in range(0, len(by_length), batch):
            some = by_length[start : start + batch]
            for window, spans in zip(some, judge(some), strict=True):
                for first, behind, kind in spans:
                    if window.core_start <= first + window.start < window.core_end:
                        found.append((first + window.start, behind + window.start, kind))
    return list(_disjoint(sorted(found, key=lambda span: (span[0], -span[1]))))


def load_finder(
    encoder: Path, weights: Path, vocabulary: Vocabulary, *, device: str, threads: int
) -> SpanFinder:
    """The network of an encoder's folder with the trained weights. Raises `ModelUnavailable`."""
    from models.runtime import torch_device

    torch.set_num_threads(threads)
    network = RecogniserNetwork(load_encoder(encoder))
    try:
        stored = {name: value.float() for name, value in load_file(weights).items()}
    except (OSError, SafetensorError) as error:
        raise ModelUnavailable(f"The weights {weights} cannot be read.") from error
    if stored.keys() != network.trained().keys():
        raise ModelUnavailable(f"The weights {weights} are of another network.")
    network.load_state_dict(stored, strict=False)
    splitter = WordSplitter(encoder / "tokenizer.json")
    return SpanFinder(network, TextEncoder(splitter, vocabulary), torch_device(device))


def _disjoint(spans: Sequence[WordSpan]) -> Iterator[WordSpan]:
    """Where two windows disagree, the mention that begins first counts."""
    behind_last = 0
    for first, behind, kind in spans:
        if first >= behind_last:
            behind_last = behind
            yield first, behind, kind
