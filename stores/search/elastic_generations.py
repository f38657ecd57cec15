"""Generations in Elasticsearch: one index each; which is live, and which was, is said by two aliases.

`{prefix}-live` is what readers ask. A promotion moves both aliases in one step.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from elasticsearch import AsyncElasticsearch, BadRequestError

from domain.errors import Conflict
from domain.search import Generation, GenerationState
from stores.search.elastic_errors import answering
from stores.search.elastic_mapping import index_body
from stores.search.errors import missing


class ElasticGenerations:
    """Creates, promotes and drops the indices of one prefix."""

    def __init__(self, client: AsyncElasticsearch, prefix: str, *, shards: int, replicas: int) -> None:
        self._client = client
        self._prefix = prefix
        self._shards = shards
        self._replicas = replicas
        self.live = f"{prefix}-live"
        self.retired = f"{prefix}-retired"

    def index(self, name: str | None) -> str:
        """The index of a generation; the alias of the live one for None."""
        return self.live if name is None else f"{self._prefix}-generation-{name}"

    async def all(self) -> list[Generation]:
        """Oldest first."""
        with answering(None):
            found = await self._client.indices.get(index=self.index("*"), expand_wildcards="all")
        return [self._generation(name, body) for name, body in sorted(found.body.items(), key=_created)]

    async def current(self) -> Generation:
        """Raises `Unavailable` when there is none."""
        with answering(None):
            found = await self._client.indices.get(index=self.live)
        [(name, body)] = found.body.items()
        return self._generation(name, body)

    async def create(self, generation: Generation) -> None:
        body = index_body(generation, shards=self._shards, replicas=self._replicas)
        try:
            with answering(None):
                await self._client.indices.create(index=self.index(generation.name), **body)
        except BadRequestError as error:
            if error.error != "resource_already_exists_exception":
                raise
            held = await self._named(generation.name)
            ours = (generation.encoder, generation.dimension, generation.analysis)
            if (held.encoder, held.dimension, held.analysis) != ours:
                raise Conflict(
                    f"The generation '{generation.name}' exists with other models.",
                    code="search.generation_exists",
                ) from error

    async def promote(self, name: str) -> None:
        await self._named(name)
        moves = [
            action
            for one in await self.all()
            if one.state is GenerationState.LIVE and one.name != name
            for action in (self._remove(one.name, self.live), self._add(one.name, self.retired))
        ]
        moves += [self._add(name, self.live), self._remove(name, self.retired)]
        with answering(name):
            await self._client.indices.update_aliases(actions=moves)

    async def drop(self, name: str) -> None:
        if (await self._named(name)).state is GenerationState.LIVE:
            raise Conflict("The live generation cannot be dropped.", code="search.generation_live")
        with answering(name):
            await self._client.indices.delete(index=self.index(name))

    async def _named(self, name: str) -> Generation:
        for one in await self.all():
            if one.name == name:
                return one
        raise missing(name)

    def _add(self, name: str, alias: str) -> dict[str, Any]:
        return {"add": {"index": self.index(name), "alias": alias}}

    def _remove(self, name: str, alias: str) -> dict[str, Any]:
        return {"remove": {"index": self.index(name), "alias": alias, "must_exist": False}}

    def _generation(self, index: str, body: dict[str, Any]) -> Generation:
        meta = body["mappings"]["_meta"]
        state = GenerationState.RETIRED if self.retired in body["aliases"] else GenerationState.BUILDING
        if self.live in body["aliases"]:
            state = GenerationState.LIVE
        name = index.removeprefix(self.index(""))
        made = datetime.fromtimestamp(_created((name, body))[0] / 1000, UTC)
        source = meta.get("source", "")
        return Generation(name, meta["encoder"], meta["dimension"], meta["analysis"], state, source, made)


def _created(item: tuple[str, dict[str, Any]]) -> tuple[int, str]:
    return int(item[1]["settings"]["index"]["creation_date"]), item[0]
