"""The query encoder as a Serve deployment: texts that arrive while others are embedded make the next batch."""

from __future__ import annotations

from ray import serve
from ray.serve import Deployment

from config.loading import load_settings
from deployments.query_encoder.encoder import QueryEncoder
from deployments.serving import keep_replica_on_loopback
from domain.search import Vector

LARGEST_BATCH = 16


class ServedQueryEncoder:
    """One replica; loads the model before it counts as healthy."""

    def __init__(self) -> None:
        keep_replica_on_loopback()
        self._encoder = QueryEncoder.of(load_settings().settings.models)

    @serve.batch(max_batch_size=LARGEST_BATCH, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def encode(self, texts: list[str]) -> list[Vector]:
        """Called with one text, answered with its vector."""
        return await self._encoder.encode_batch(texts)


def query_encoder() -> Deployment:
    """The deployment `query_encoder`; its size is in `serve_config.yaml`."""
    return serve.deployment(name="query_encoder")(ServedQueryEncoder)
