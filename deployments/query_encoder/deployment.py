"""The query encoder as a Serve deployment: texts that arrive while others are embedded make the next batch."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import structlog
from ray import serve
from ray.serve import Deployment

from config.loading import load_settings
from config.secrets import SecretStore
from config.settings import Settings
from deployments.query_encoder.encoders import QueryEncoders
from deployments.serving import keep_replica_on_loopback
from domain.errors import Unavailable
from domain.search import Generation, Vector
from models.embedding import TransformerEmbedder, load_embedder
from stores.search import open_index

LARGEST_BATCH = 16

log = structlog.get_logger(__name__)


class ServedQueryEncoder:
    """One replica; loads the live generation's encoder before it counts as healthy."""

    def __init__(self) -> None:
        keep_replica_on_loopback()
        settings = load_settings().settings
        secrets = SecretStore(settings.secrets_path)

        def load(generation: Generation | None) -> TransformerEmbedder:
            return load_embedder(settings.models, generation, queries=True)

        with ThreadPoolExecutor(1) as apart:  # this thread has a loop that runs already
            live = apart.submit(asyncio.run, live_generation(settings, secrets)).result()
        self._encoders = QueryEncoders(load(live), open_index(settings, secrets).generations, load)
        self._keeping: asyncio.Task[None] | None = None

    async def check_health(self) -> None:
        """Serve asks from the first moment on: where what goes on in the background begins, and is seen to end."""
        if self._keeping is None:
            self._keeping = asyncio.create_task(self._encoders.keep_up())
        if self._keeping.done():
            self._keeping.result()

    @serve.batch(max_batch_size=LARGEST_BATCH, batch_wait_timeout_s=0)  # type: ignore[untyped-decorator]
    async def encode(self, texts: list[str], encoders: list[str]) -> list[Vector | None]:
        """Called with one text and the `name@version` of an encoder, answered with the vector."""
        return await self._encoders.encode_batch(texts, encoders)


async def live_generation(settings: Settings, secrets: SecretStore) -> Generation | None:
    """None when there is none yet, or the index does not answer."""
    index = open_index(settings, secrets)
    try:
        return await index.live()
    except Unavailable as error:
        log.warning("generations_unknown", reason=error.code)
        return None
    finally:
        await index.close()


def query_encoder() -> Deployment:
    """The deployment `query_encoder`; its size is in `serve_config.yaml`."""
    return serve.deployment(name="query_encoder")(ServedQueryEncoder)
