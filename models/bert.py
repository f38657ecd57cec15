"""BERT (Devlin et al. 2019), the encoder of most clinical models, out of a folder of `transformers` but without it.

Importing `transformers` for a model costs each process seconds and 150 MiB, more than the shipped encoder itself
(docs/decisions/0008). Modules and parameters have its names, so that weights and adapters fit both.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

import torch
from pydantic import (
    BaseModel,
    Field,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    model_validator,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from models.folders import WEIGHTS, read_config

Share = Annotated[float, Field(ge=0, le=1)]


class BertConfig(BaseModel, frozen=True, strict=True):
    """What of a `config.json` describes a plain BERT; another network, or one of BERT's variants, is no such thing."""

    model_type: Literal["bert"]
    hidden_act: Literal["gelu"]
    position_embedding_type: Literal["absolute"] = "absolute"
    is_decoder: Literal[False] = False
    add_cross_attention: Literal[False] = False
    quantization_config: None = None
    transformers_weights: None = None
    vocab_size: PositiveInt
    hidden_size: PositiveInt
    num_hidden_layers: PositiveInt
    num_attention_heads: PositiveInt
    intermediate_size: PositiveInt
    max_position_embeddings: PositiveInt
    type_vocab_size: PositiveInt
    layer_norm_eps: PositiveFloat
    hidden_dropout_prob: Share
    attention_probs_dropout_prob: Share
    pad_token_id: NonNegativeInt | None

    @model_validator(mode="after")
    def fits_together(self) -> Self:
        if self.hidden_size % self.num_attention_heads:
            raise ValueError("heads have to divide hidden_size")
        if (self.pad_token_id or 0) >= self.vocab_size:
            raise ValueError("pad_token_id is no token")
        return self


class Encoded(NamedTuple):
    """What the encoder gives."""

    last_hidden_state: Tensor
    """(batch, tokens, hidden_size)."""


class Bert(nn.Module):
    """The encoder without a pooler. Training drops out as its configuration says."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = _Embeddings(config)
        self.encoder = _Layers(config)

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
    ) -> Encoded:
        """From tokens (batch, tokens), or from their word embeddings (batch, tokens, hidden_size).

        `attention_mask` (batch, tokens) is 0 where there is padding.
        """
        words = self.embeddings.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        seen = None if attention_mask is None else attention_mask.bool()[:, None, None, :]
        return Encoded(self.encoder(self.embeddings(words), seen))


class _Linear(nn.Linear):
    """Weights come from the file: some made up first would take a second, and numbers from torch's generator that
    a training with a fixed seed counts on.
    """

    def reset_parameters(self) -> None: ...


class _Embedding(nn.Embedding):
    """As `_Linear`."""

    def reset_parameters(self) -> None: ...


class _Embeddings(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.word_embeddings = _Embedding(config.vocab_size, size, padding_idx=config.pad_token_id)
        self.position_embeddings = _Embedding(config.max_position_embeddings, size)
        self.token_type_embeddings = _Embedding(config.type_vocab_size, size)
        self.LayerNorm = nn.LayerNorm(size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, words: Tensor) -> Tensor:
        typed = words + self.token_type_embeddings.weight[0]
        placed = typed + self.position_embeddings.weight[: words.shape[1]]
        embedded: Tensor = self.dropout(self.LayerNorm(placed))
        return embedded


class _Layers(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(_Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, states: Tensor, seen: Tensor | None) -> Tensor:
        for layer in self.layer:
            states = layer(states, seen)
        return states


class _Layer(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        wide = config.intermediate_size
        self.attention = nn.ModuleDict(
            {"self": _SelfAttention(config), "output": _Residual(config.hidden_size, config)}
        )
        self.intermediate = nn.ModuleDict({"dense": _Linear(config.hidden_size, wide)})
        self.output = _Residual(wide, config)

    def forward(self, states: Tensor, seen: Tensor | None) -> Tensor:
        attended = self.attention["output"](self.attention["self"](states, seen), states)
        wide = functional.gelu(self.intermediate["dense"](attended))
        projected: Tensor = self.output(wide, attended)
        return projected


class _SelfAttention(nn.Module):
    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        size = config.hidden_size
        self.query, self.key, self.value = (_Linear(size, size) for _ in range(3))
        self._heads = config.num_attention_heads
        self._dropout = config.attention_probs_dropout_prob

    def forward(self, states: Tensor, seen: Tensor | None) -> Tensor:
        query, key, value = (
            part(states).unflatten(2, (self._heads, -1)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        dropout = self._dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, seen, dropout)
        return mixed.transpose(1, 2).flatten(2)


class _Residual(nn.Module):
    """A projection that is added to what it came from."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = _Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, inputs: Tensor, states: Tensor) -> Tensor:
        added: Tensor = self.LayerNorm(self.dropout(self.dense(inputs)) + states)
        return added


def read_bert(folder: Path, dtype: torch.dtype, changes: Mapping[str, Any]) -> Bert | None:
    """The encoder in a folder, ready to infer, with `changes` to its configuration.

    None when it is no plain BERT, or its weights are not whole or not under the usual names.
    """
    try:
        model = Bert(BertConfig.model_validate({**read_config(folder), **changes}))
        found = load_file(folder / WEIGHTS)
        stored = {name.removeprefix("bert."): value for name, value in found.items()}
        if len(stored) < len(found):
            return None  # names that stand for two weights each
        wanted = {name: stored[name].to(dtype, copy=True) for name in model.state_dict()}
        model.load_state_dict(wanted, assign=True)
    except (ValidationError, OSError, SafetensorError, KeyError, RuntimeError):
        return None
    return model.eval()
