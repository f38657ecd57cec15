"""Passages and queries as vectors.

torch is imported where a model is loaded, so that processes without models stay small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from config.settings import ModelSettings, NumberType
from domain.search import Generation
from models.encoders import Encoder, ModelUnavailable, Pooling, encoder_identity, encoder_of, locate, verify
from models.folders import TOKENIZER, read_tokenizer

__all__ = ["Embedder", "ModelUnavailable", "TransformerEmbedder", "encoder_identity", "load_embedder"]

Vectors = npt.NDArray[np.float32]

LEAST_AGREEMENT = 0.98
"""Mean cosine to the vectors of float32 below which int8 is not used for a model."""


class Embedder(Protocol):
    """Texts to vectors; the same text gives the same vector whatever it is batched with (within 1e-5)."""

    name: str
    """`name@version`, e.g. `minilm-l6@1`."""
    dimension: int
    batch: int
    """How many texts it takes at once."""

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32, rows L2-normalised, in the order of `texts`."""
        ...


class TransformerEmbedder:
    """A transformers encoder with pooling over its tokens; `prompt` is put before each text.

    `batch` is how many texts it takes at once, by default what the device is good at.
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        device: str,
        threads: int,
        max_tokens: int,
        batch: int | None = None,
        numbers: NumberType = NumberType.AUTO,
        prompt: str = "",
    ) -> None:
        import torch

        from models.runtime import choose_runtime

        torch.set_num_threads(threads)
        self.name = encoder.name
        self.dimension = encoder.dimension
        self.runtime = choose_runtime(device, numbers)
        self.batch = batch or self.runtime.batch
        self._pooling = encoder.pooling
        self._longest = encoder.longest
        self._prompt = prompt
        self._tokenizer = read_tokenizer(encoder.folder / TOKENIZER)
        longest = max_tokens + len(self._tokenizer.encode(prompt, add_special_tokens=False).ids)
        if longest > encoder.longest:
            raise ModelUnavailable(
                f"models.passage_tokens is {max_tokens}, but {encoder.name} reads at most"
                f" {encoder.longest - longest + max_tokens}: lower it."
            )
        self._tokenizer.enable_truncation(longest)
        self._model = self._read(encoder)
        if self.runtime.numbers is NumberType.INT8 and (off := self._disagreement()) is not None:
            raise ModelUnavailable(
                f"models.number_type is int8, but {self.name} gives other vectors then (mean cosine {off:.3f})."
            )

    def _read(self, encoder: Encoder) -> Any:
        from models.adaptation import adapt
        from models.pretrained import read_encoder

        model = read_encoder(encoder.folder, self.runtime.dtype)
        if encoder.adapter:
            adapt(model, encoder.adapter.file)
        return model.to(self.runtime.device)

    def _disagreement(self) -> float | None:
        """Go over to int8; the mean cosine to the vectors of before when it is too low."""
        from models.int8 import CALIBRATION, quantise

        exact = self._embed(CALIBRATION)
        quantise(self._model, lambda: self._embed(CALIBRATION))
        agreement = float((self._embed(CALIBRATION) * exact).sum(axis=1).mean())
        return None if agreement >= LEAST_AGREEMENT else agreement

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors in the order of `texts`; batches are formed by length, so that little is padding."""
        return self._embed([self._prompt + text for text in texts])

    def _embed(self, texts: Sequence[str]) -> Vectors:
        """The same without the prompt: what is made of a model may not depend on what it is used for."""
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        unit = self.runtime.padding
        lengths = [min(-(-len(ids) // unit) * unit, self._longest) for ids in encoded]
        for indexes in _batches(lengths, self.batch, alike=self.runtime.padding > 1):
            rows = [encoded[index] for index in indexes]
            vectors[indexes] = self._forward(rows, lengths[indexes[0]])
        return vectors

    def _forward(self, encoded: list[list[int]], longest: int) -> Vectors:
        import torch

        padding = self._model.config.pad_token_id or 0
        ids = torch.full((len(encoded), longest), padding, dtype=torch.long)
        mask = torch.zeros(len(encoded), longest, dtype=torch.long)
        for row, own in enumerate(encoded):
            ids[row, : len(own)] = torch.tensor(own)
            mask[row, : len(own)] = 1
        ids, mask = ids.to(self.runtime.device), mask.to(self.runtime.device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            if self._pooling is Pooling.FIRST:
                pooled = hidden[:, 0]
            else:
                weights = mask.unsqueeze(-1).float()
                pooled = (hidden * weights).sum(1) / weights.sum(1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors


def load_embedder(
    settings: ModelSettings, generation: Generation | None = None, *, queries: bool = False
) -> TransformerEmbedder:
    """The encoder of a generation, or that of the settings, ready, for passages or for `queries`, which have their
    own device and threads.

    Raises `ModelUnavailable` when the model is not on this machine, or not as it was. Shipped models and folders
    never touch the network.
    """
    encoder = verify(encoder_of(generation, settings) if generation else locate(settings.encoder))
    return TransformerEmbedder(
        encoder,
        device=settings.query_device if queries else settings.device,
        threads=settings.query_threads if queries else settings.threads,
        batch=settings.embed_batch,
        max_tokens=settings.passage_tokens,
        numbers=settings.number_type,
        prompt=encoder.query_prompt if queries else encoder.passage_prompt,
    )


def tried(generation: Generation, settings: ModelSettings) -> TransformerEmbedder:
    """The encoder of a generation, after it has made a vector as the generation wants it. Raises `ModelUnavailable`."""
    try:
        embedder = load_embedder(settings, generation)
        made = embedder.embed(["a text to try it"])
    except ModelUnavailable:
        raise
    except Exception as error:  # transformers, tokenizers and torch raise errors of many kinds
        raise ModelUnavailable(
            f"The encoder {generation.encoder} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    if made.shape != (1, generation.dimension) or not np.isfinite(made).all():
        raise ModelUnavailable(
            f"The encoder {generation.encoder} makes no vectors of {generation.dimension} numbers."
        )
    return embedder


def _batches(lengths: list[int], size: int, *, alike: bool = False) -> Iterator[list[int]]:
    """Indexes in groups of similar length, or of the same; the longest first, so that a lack of memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for _, same in groupby(order, key=lambda index: lengths[index] if alike else 0):
        while group := list(islice(same, size)):
            yield group
