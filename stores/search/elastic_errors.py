"""The Elasticsearch client of the platform, and its errors as those of the port."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from elasticsearch import ApiError, AsyncElasticsearch, NotFoundError, TransportError

from config.secrets import SecretStore
from config.settings import Settings
from domain.errors import Unavailable
from stores.search.errors import missing, not_ready

OVERLOADED = (429, 502, 503, 504)
API_KEY_SECRET = "elasticsearch-api-key"  # noqa: S105 - a name, not a value


def connect(settings: Settings, secrets: SecretStore) -> AsyncElasticsearch:
    """A client of all the configured nodes, which retries on another one; connects with the first request."""
    api_key = secrets.find(API_KEY_SECRET)
    return AsyncElasticsearch(
        list(settings.search.elasticsearch_urls),
        api_key=api_key.get_secret_value() if api_key else None,
        max_retries=5,
        retry_on_timeout=True,
        retry_on_status=OVERLOADED,
        request_timeout=15,
    )


@contextmanager
def answering(generation: str | None) -> Iterator[None]:
    """Trouble of the server as `Unavailable`, an unknown generation as `NotFound`; other errors are ours."""
    try:
        yield
    except NotFoundError as error:
        if generation is not None:
            raise missing(generation) from error
        raise not_ready() from error
    except ApiError as error:
        if error.status_code not in OVERLOADED:
            raise
        raise away(error) from error
    except TransportError as error:
        raise away(error) from error


def away(error: Exception | None = None) -> Unavailable:
    kind = f" ({type(error).__name__})" if error else ""
    return Unavailable(
        f"Elasticsearch cannot be reached{kind}. Try again in a moment.",
        code="store.elasticsearch_unavailable",
        retry_after=5,
    )
