"""Passages and queries as vectors.

torch is imported where a model is loaded, so that processes without models stay small.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from config.settings import ModelSettings
from domain.search import Generation
from models.encoders import Encoder, ModelUnavailable, encoder_identity, encoder_of, locate

if TYPE_CHECKING:
    import torch

__all__ = ["Embedder", "ModelUnavailable", "TransformerEmbedder", "encoder_identity", "load_embedder"]

Vectors = npt.NDArray[np.float32]
_LONGEST = 512


class Embedder(Protocol):
    """Texts to vectors; the same text gives the same vector whatever it is batched with (within 1e-5)."""

    name: str
    """`name@version`, e.g. `minilm-l6@1`."""
    dimension: int

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(n, dimension) float32, rows L2-normalised, in the order of `texts`."""
        ...


class TransformerEmbedder:
    """A transformers encoder with mean pooling over its tokens."""

    def __init__(self, encoder: Encoder, *, device: str, threads: int, batch: int, max_tokens: int) -> None:
        import torch
        from tokenizers import Tokenizer
        from transformers import AutoModel
        from transformers.utils import logging

        logging.disable_progress_bar()
        torch.set_num_threads(threads)
        self.name = encoder.name
        self.dimension = encoder.dimension
        self._device = torch_device(device)
        self._dtype = _dtype(self._device)
        self._batch = batch
        self._tokenizer = Tokenizer.from_file(str(encoder.folder / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(min(max_tokens, _LONGEST))
        model = AutoModel.from_pretrained(encoder.folder, local_files_only=True, dtype=self._dtype)
        self._model: Any = model.to(self._device).eval()

    def embed(self, texts: Sequence[str]) -> Vectors:
        """Vectors in the order of `texts`; batches are formed by length, so that little is padding."""
        encoded = [encoding.ids for encoding in self._tokenizer.encode_batch(list(texts))]
        vectors = np.zeros((len(texts), self.dimension), dtype=np.float32)
        for indexes in _batches([len(ids) for ids in encoded], self._batch):
            vectors[indexes] = self._forward([encoded[index] for index in indexes])
        return vectors

    def _forward(self, encoded: list[list[int]]) -> Vectors:
        import torch

        longest = max(map(len, encoded))
        ids = torch.zeros(len(encoded), longest, dtype=torch.long)
        mask = torch.zeros(len(encoded), longest, dtype=torch.long)
        for row, own in enumerate(encoded):
            ids[row, : len(own)] = torch.tensor(own)
            mask[row, : len(own)] = 1
        ids, mask = ids.to(self._device), mask.to(self._device)
        with torch.inference_mode():
            hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
            weights = mask.unsqueeze(-1).float()
            pooled = (hidden * weights).sum(1) / weights.sum(1)
            vectors: Vectors = torch.nn.functional.normalize(pooled, dim=1).cpu().numpy()
        return vectors


def load_embedder(
    settings: ModelSettings, generation: Generation | None = None, *, threads: int | None = None
) -> TransformerEmbedder:
    """The encoder of a generation, or that of the settings, ready; `threads` overrides the worker's number.

    Raises `ModelUnavailable` when the model is not on this machine. Shipped models and folders never touch
    the network.
    """
    return TransformerEmbedder(
        encoder_of(generation, settings) if generation else locate(settings.encoder),
        device=settings.device,
        threads=threads or settings.threads,
        batch=settings.embed_batch,
        max_tokens=settings.passage_tokens,
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


def _batches(lengths: list[int], size: int) -> Iterator[list[int]]:
    """Indexes in groups of similar length, the longest first, so that a lack of memory shows at once."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    for start in range(0, len(order), size):
        yield order[start : start + size]


def torch_device(wanted: str) -> torch.device:
    import torch

    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if wanted.startswith("cuda") and not torch.cuda.is_available():
        raise ModelUnavailable(f"models.device is {wanted}, but no CUDA device was found.")
    return torch.device(wanted)


def _dtype(device: torch.device) -> torch.dtype:
    """Half precision on a GPU; bfloat16 on a CPU that computes in it, which is slow on all others."""
    import torch

    if device.type == "cuda":
        return torch.float16
    return torch.bfloat16 if cpu_computes_bfloat16() else torch.float32


def cpu_computes_bfloat16(facts: Path = Path("/proc/cpuinfo")) -> bool:
    try:
        return any(
            line.startswith("flags") and " avx512_bf16" in line for line in facts.read_text().splitlines()
        )
    except OSError:
        return False
