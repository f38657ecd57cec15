"""The search index behind `stores.ports.SearchIndex`: one machine's own, or Elasticsearch."""

from __future__ import annotations

from config.secrets import SecretStore
from config.settings import Settings
from stores.ports import SearchIndex
from stores.postgres import Postgres


def open_index(settings: Settings, secrets: SecretStore, *, writer: bool = False) -> SearchIndex:
    """The index that the settings name; nothing is connected before the first question.

    Of an embedded index only one process may be the `writer` at a time.
    """
    if settings.search.backend == "embedded":
        from stores.search.embedded import EmbeddedIndex
        from stores.search.vectors import PLANNING

        database = Postgres.of(settings, secrets, "search").tuned(**PLANNING)
        return EmbeddedIndex(
            settings.index_path, database, writer, exact_below=settings.search.exact_below_passages
        )
    from stores.search.elastic import ElasticsearchIndex, connect

    return ElasticsearchIndex(connect(settings, secrets), settings.search.index_prefix)
