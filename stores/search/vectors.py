"""Vectors of the embedded index: one pgvector table a generation, in schema `generations` of `search_db`.

A row belongs to the slot of a document's version. Who may see which slot is decided by the words index, which
hands the visible slots over (`within`) or picks among the nearest rows; hence nothing here repeats a filter, and a
row whose version is not the visible one is never a hit.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import asyncpg
import numpy as np

from domain.search import Generation, Vector
from stores.postgres import Postgres
from stores.search.batch import Change
from stores.search.records import slot

T = TypeVar("T")

PLANNING = {"plan_cache_mode": "force_custom_plan", "jit": "off"}
"""Settings of the connections that ask for vectors: how many slots are asked for decides how the table is read."""

ROWS_AT_ONCE = 2_000

SCANNED_BY_GRAPH_MICROSECONDS = 10
COMPARED_MICROSECONDS = 0.7
"""Measured (`benchmarks/bench_index.py`, 384 dimensions): one row visited in the graph, one compared exactly."""

GRAPH_FROM = 10_000
"""Passages from which on there is a graph: extending it costs 2 ms a row, ten times as much as building it."""

BUILD_SECONDS = 600

MOST_GRAPH_ROWS = 20_000
"""A walk through the graph that would have to visit more is given up for the exact search."""


class Near(NamedTuple):
    """A passage and its inner product with the question (the cosine, as vectors are normalised)."""

    slot: int
    ordinal: int
    similarity: float


def exact_is_better(*, visible: int, total: int, wanted: int, exact_below: int) -> bool:
    """Whether to compare all `visible` of `total` passages instead of walking the graph for `wanted` of them.

    The graph knows no filter: to find a visible passage it visits total/visible others, so that few visible ones
    are not only slow to find but missed. Below `exact_below` the answer is always yes.
    """
    if visible < exact_below or total < GRAPH_FROM:
        return True
    visited = wanted * total / visible
    return (
        visited > MOST_GRAPH_ROWS or visited * SCANNED_BY_GRAPH_MICROSECONDS > visible * COMPARED_MICROSECONDS
    )


class VectorTable:
    """Vectors of one generation."""

    def __init__(self, database: Postgres, generation: Generation) -> None:
        self._database = database
        self._dimension = generation.dimension
        self._documents = f'"{generation.name}_documents"'
        self._graph = f'"{generation.name}_graph"'
        self._table = f'generations."{generation.name}"'

    async def create(self) -> None:
        """Make the table, empty, unless it exists."""
        async with self._database.transaction() as connection:
            await connection.execute(
                f"""CREATE TABLE IF NOT EXISTS {self._table} (
                    document_id uuid NOT NULL,
                    slot bigint NOT NULL,
                    ordinal int NOT NULL,
                    embedding halfvec({self._dimension}) NOT NULL,
                    PRIMARY KEY (slot, ordinal)
                )"""
            )
            await connection.execute(f"ALTER TABLE {self._table} ALTER embedding SET STORAGE PLAIN")
            await connection.execute(
                f"CREATE INDEX IF NOT EXISTS {self._documents} ON {self._table} (document_id)"
            )

    async def build_graph(self) -> None:
        """Make the graph, unless it exists. Readers are not held up; afterwards every `put` extends it."""
        async with self._database.transaction() as connection:
            await connection.execute(
                f"CREATE INDEX IF NOT EXISTS {self._graph} ON {self._table} USING hnsw (embedding halfvec_ip_ops)",
                timeout=BUILD_SECONDS,
            )

    async def drop(self) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(f"DROP TABLE IF EXISTS {self._table}")

    async def put(self, changes: Sequence[Change]) -> None:
        """Store the vectors of the changes' passages under their slots."""
        rows = [
            (
                change.document_id,
                slot(change.document_id, root.version),
                passage.ordinal,
                literal(passage.vector),
            )
            for change in changes
            if (root := change.after.root)
            for passage in change.passages or ()
        ]
        async with self._database.transaction() as connection:
            for slots in _chunks(sorted({row[1] for row in rows})):
                await connection.execute(f"DELETE FROM {self._table} WHERE slot = ANY($1)", slots)  # noqa: S608 - a checked name
            for chunk in _chunks(rows):
                await connection.execute(
                    f"""INSERT INTO {self._table} (document_id, slot, ordinal, embedding)
                        SELECT d, s, o, e::halfvec
                        FROM unnest($1::uuid[], $2::bigint[], $3::int[], $4::text[]) AS new (d, s, o, e)""",  # noqa: S608 - a checked name
                    *map(list, zip(*chunk, strict=True)),
                )

    async def sweep(self, changes: Sequence[Change], kept: Sequence[int]) -> None:
        """Remove the changed documents' rows of every slot but the `kept` ones."""
        async with self._database.transaction() as connection:
            await connection.execute(
                f"DELETE FROM {self._table} WHERE document_id = ANY($1) AND NOT slot = ANY($2)",  # noqa: S608 - a checked name
                [change.document_id for change in changes],
                list(kept),
            )

    async def within(
        self, vector: Vector, slots: Sequence[int], limit: int, *, most: bool = False
    ) -> list[Near]:
        """The nearest rows of the given slots, exactly, best first; `most`: they are most of the table."""
        # not a join, which would look up each; the planner weighs each element of = ANY, as costly as a search of all
        chosen = "(slot IN (SELECT unnest($2::bigint[]))) IS TRUE" if most else "slot = ANY($2)"
        async with self._database.connection() as connection:
            return _near(
                await connection.fetch(
                    f"""SELECT slot, ordinal, (embedding <#> $1::text::halfvec) + 0 AS distance
                        FROM {self._table} WHERE {chosen} ORDER BY distance LIMIT $3""",  # noqa: S608 - a checked name
                    literal(vector),
                    list(slots),
                    limit,
                )
            )

    async def nearest(self, vector: Vector, limit: int) -> list[Near]:
        """About the nearest rows of all, by the graph, best first."""
        async with self._database.transaction() as connection:
            await _tune(
                connection,
                **{
                    "hnsw.ef_search": str(min(400, max(100, limit))),
                    "hnsw.iterative_scan": "relaxed_order",
                    "hnsw.max_scan_tuples": str(4 * MOST_GRAPH_ROWS),
                    "hnsw.scan_mem_multiplier": "16",
                },
            )
            rows = await connection.fetch(
                f"""SELECT slot, ordinal, embedding <#> $1::text::halfvec AS distance
                    FROM {self._table} ORDER BY distance LIMIT $2""",  # noqa: S608 - a checked name
                literal(vector),
                limit,
            )
        return sorted(_near(rows), key=lambda near: -near.similarity)


def literal(vector: Vector) -> str:
    """The vector as pgvector reads it."""
    return "[" + ",".join(map(repr, np.asarray(vector, np.float32).tolist())) + "]"


async def _tune(connection: asyncpg.Connection, **values: str) -> None:
    """Settings for the current transaction, in one round trip."""
    calls = ", ".join(f"set_config(${2 * i + 1}, ${2 * i + 2}, true)" for i in range(len(values)))
    await connection.execute(f"SELECT {calls}", *itertools.chain.from_iterable(values.items()))


def _near(rows: Sequence[asyncpg.Record]) -> list[Near]:
    return [Near(row[0], row[1], -row[2]) for row in rows]


def _chunks(rows: Sequence[T]) -> list[Sequence[T]]:
    return [rows[start : start + ROWS_AT_ONCE] for start in range(0, len(rows), ROWS_AT_ONCE)]
