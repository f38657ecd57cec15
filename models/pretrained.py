"""A model of `transformers` out of a folder: with all of its weights, or not at all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from models.bert import read_bert
from models.folders import ModelUnavailable

_UNUSED = "pooler."
"""Of an encoder's last layer for a sentence, which nothing here uses and many folders do not have."""


def read_encoder(folder: Path, dtype: torch.dtype, **changes: Any) -> Any:
    """The encoder in a folder, as `read_pretrained` gives it; a plain BERT is read without `transformers`."""
    return read_bert(folder, dtype, changes) or read_pretrained("AutoModel", folder, dtype, **changes)


def read_pretrained(kind: str, folder: Path, dtype: torch.dtype, **changes: Any) -> Any:
    """The model as `kind` (`AutoModel`, ...), ready to infer; the network is not touched, no code of the folder is run.
    `changes` are to its configuration.

    Raises `ModelUnavailable` where it cannot be read, or weights are missing that would be made up.
    """
    import transformers
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        model, told = getattr(transformers, kind).from_pretrained(
            folder, local_files_only=True, dtype=dtype, output_loading_info=True, **changes
        )
    except Exception as error:  # of transformers, safetensors and torch
        raise ModelUnavailable(
            f"The model in {folder} cannot be loaded ({type(error).__name__}): copy it again, or save it anew with"
            " transformers (docs/models.md)."
        ) from error
    if absent := sorted(name for name in told["missing_keys"] if not name.startswith(_UNUSED)):
        raise ModelUnavailable(
            f"The model in {folder} has not all of its weights: {', '.join(absent[:3])} and others are missing."
        )
    return model.eval()
