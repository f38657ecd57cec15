"""The recogniser's network: an encoder that also sees the words' letters, shapes and dictionary names.

Word pieces go through the encoder; a word is its first and last piece, its letters (convolution, Ma and Hovy
2016) and its features; two layers give the emissions of a linear chain.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from models.pretrained import read_encoder
from models.recognition.crf import LinearChain
from models.recognition.features import WIDTH
from models.recognition.tags import TAGS

_LETTER_SIZE = 32
_FILTERS = 96
_HIDDEN = 256


@dataclass(frozen=True, slots=True)
class Batch:
    """Windows side by side, padded: pieces (batch, pieces), words (batch, words, ...)."""

    pieces: Tensor
    piece_mask: Tensor
    word_of_piece: Tensor
    """Index of the word of each piece; the number of words for pieces that are no word's."""
    first: Tensor
    last: Tensor
    """Index of each word's first and last piece."""
    features: Tensor
    letters: Tensor
    word_mask: Tensor

    def to(self, device: torch.device) -> Batch:
        return Batch(*(getattr(self, name).to(device) for name in self.__slots__))


class RecogniserNetwork(nn.Module):
    """`encoder` is a BERT, ours or that of transformers; its embeddings stay as they are."""

    def __init__(self, encoder: Any, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = encoder
        for parameter in encoder.embeddings.parameters():
            parameter.requires_grad_(False)
        size = int(encoder.config.hidden_size)
        own = _FILTERS + WIDTH
        self.letters = nn.Embedding(128, _LETTER_SIZE, padding_idx=0)
        self.convolution = nn.Conv1d(_LETTER_SIZE, _FILTERS, 3, padding=1)
        self.injection = nn.Linear(own, size, bias=False)
        nn.init.zeros_(self.injection.weight)
        self.hidden = nn.Linear(2 * size + own, _HIDDEN)
        self.emission = nn.Linear(_HIDDEN, TAGS)
        self.dropout = nn.Dropout(dropout)
        self.chain = LinearChain()

    def emissions(self, batch: Batch) -> Tensor:
        """(batch, words, TAGS)."""
        own = self._own(batch)
        injected = nn.functional.pad(self.injection(own), (0, 0, 0, 1))
        embedded = self.encoder.embeddings.word_embeddings(batch.pieces) + _pick(
            injected, batch.word_of_piece
        )
        states = self.encoder(
            inputs_embeds=embedded, attention_mask=batch.piece_mask.long()
        ).last_hidden_state
        joined = torch.cat([_pick(states, batch.first), _pick(states, batch.last), own], dim=2)
        hidden = nn.functional.gelu(self.hidden(self.dropout(joined)))
        emissions: Tensor = self.emission(self.dropout(hidden))
        return emissions

    def loss(self, batch: Batch, allowed: Tensor) -> Tensor:
        """Negative log likelihood of each window, (batch,)."""
        return self.chain.loss(self.emissions(batch), batch.word_mask, allowed)

    @torch.inference_mode()
    def tags(self, batch: Batch) -> list[list[int]]:
        """The most likely tags of each window's words."""
        return self.chain.decode(self.emissions(batch).float(), batch.word_mask)

    def trained(self) -> dict[str, Tensor]:
        """What training changes, and all that is stored: the encoder's embeddings come with the encoder."""
        return {
            name: value
            for name, value in self.state_dict().items()
            if not name.startswith(("encoder.embeddings.", "encoder.pooler."))
        }

    def _own(self, batch: Batch) -> Tensor:
        rows, words, letters = batch.letters.shape
        embedded = self.letters(batch.letters.reshape(rows * words, letters)).transpose(1, 2)
        read = self.convolution(embedded).amax(dim=2).relu().reshape(rows, words, -1)
        features = batch.features.to(read.dtype)
        if self.training:
            features = features * (torch.rand_like(features[:, :, :1]) > 0.1)
        return torch.cat([nn.functional.dropout(read, 0.1, self.training), features], dim=2)


def load_encoder(folder: Path) -> Any:
    """The encoder of a folder, in single precision. Raises `ModelUnavailable`."""
    return read_encoder(folder, torch.float32, attention_probs_dropout_prob=0.0)


def _pick(states: Tensor, places: Tensor) -> Tensor:
    """`states[row, places[row]]` for every row."""
    return states.gather(1, places.unsqueeze(2).expand(-1, -1, states.shape[2]))
