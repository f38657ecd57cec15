"""The query encoder as the search application reaches it: through its Serve handle."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from domain.errors import Unavailable
from domain.search import Vector


class EncoderHandle(Protocol):
    """What is used of a `DeploymentHandle`: `await handle.encode.remote(text, encoder)` is the vector, or None."""

    @property
    def encode(self) -> Any: ...


class HandleEncoding:
    """`stores.ports.QueryEncoding`: whatever keeps the deployment from answering is `Unavailable`."""

    def __init__(self, handle: EncoderHandle) -> None:
        self._handle = handle

    async def encode(self, text: str, encoder: str) -> Vector:
        try:
            vector = await self._handle.encode.remote(text, encoder)
        except Exception as error:  # noqa: BLE001 - a process boundary: Ray raises what the other side raised
            raise _unavailable(f"The query encoder does not answer ({type(error).__name__}).") from None
        if vector is None:
            raise _unavailable(f"The query encoder does not have {encoder}.")
        return np.asarray(vector, dtype=np.float32)


def _unavailable(message: str) -> Unavailable:
    return Unavailable(message, code="search.encoder_unavailable", retry_after=5)
