"""The query encoder as the search application reaches it: through its Serve handle."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

from domain.errors import Unavailable
from domain.search import Vector


class EncoderHandle(Protocol):
    """What is used of a `DeploymentHandle`: `await handle.encode.remote(text)` is the vector."""

    @property
    def encode(self) -> Any: ...


class HandleEncoding:
    """`stores.ports.QueryEncoding`: whatever keeps the deployment from answering is `Unavailable`."""

    def __init__(self, handle: EncoderHandle, name: str) -> None:
        self.name = name
        self._handle = handle

    async def encode(self, text: str) -> Vector:
        try:
            vector = await self._handle.encode.remote(text)
        except Exception as error:  # noqa: BLE001 - a process boundary: Ray raises what the other side raised
            raise Unavailable(
                f"The query encoder does not answer ({type(error).__name__}).",
                code="search.encoder_unavailable",
                retry_after=5,
            ) from None
        return np.asarray(vector, dtype=np.float32)
