"""`medsearch index` on real stores: another model is built, promoted, and dropped, each step on record."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from actors.stage_worker import artefact_key
from cluster.cli.__main__ import app
from config.secrets import SecretStore
from config.settings import Settings
from domain.jobs import Stage
from domain.search import AccessFilter, Generation, GenerationState, LexicalQuery
from models import analysis
from models.artefacts import dump_vectors
from models.embedding import load_embedder
from models.encoders import locate
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from tests.contract.processing.writing import Bench, written
from tests.tiny_encoder import tiny_encoder

READER = AccessFilter(frozenset({"user:7"}))


class Desk:
    """The operator's terminal, and the platform's writer and worker by hand."""

    def __init__(self, bench: Bench, settings: Settings, models: Path) -> None:
        self.bench = bench
        self.settings = settings
        self.models = models

    async def run(self, *arguments: str) -> Result:
        environment = {
            "MEDSEARCH_DATA_DIR": str(self.settings.data_dir),
            "MEDSEARCH_CONFIG": "",
            "COLUMNS": "200",
        }
        return await asyncio.to_thread(CliRunner().invoke, app, ["index", *arguments], env=environment)

    async def did(self, *arguments: str) -> str:
        done = await self.run(*arguments)
        assert done.exit_code == 0, done.output
        return done.output

    async def refused(self, *arguments: str) -> str:
        done = await self.run(*arguments)
        assert done.exit_code == 1, done.output
        return done.stderr

    async def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in json.loads(await self.did("status", "--json"))}

    async def work(self) -> None:
        """Queue what is missing, embed it by the generation's own encoder, write it."""
        generations = self.bench.generations()
        await generations.prepare()
        await generations.fill()
        leases = await self.bench.jobs.claim([Stage.EMBED], "worker", limit=100)
        for lease in leases:
            embedder = load_embedder(self.settings.models, generations.named(lease.generation))
            vectors = dump_vectors(embedder.embed(["No evidence of pneumonia."]), encoder=embedder.name)
            await self.bench.blobs.put(artefact_key(lease), vectors)
            await self.bench.jobs.complete_stage(lease, artefact_key(lease), {}, keep=False)
        await written(self.bench.writer(generations=generations), len(leases))


@pytest.fixture
async def desk(bench: Bench, settings: Settings, secrets: SecretStore, tmp_path: Path) -> AsyncIterator[Desk]:
    bench.index = EmbeddedIndex(settings.index_path, Postgres.of(settings, secrets, "search"), True)
    yield Desk(bench, settings, tmp_path)
    async with bench.search.transaction() as connection:
        for row in await connection.fetch("DELETE FROM index_generation RETURNING name"):
            await connection.execute(f'DROP TABLE generations."{row["name"]}"')
    await bench.index.close()


async def indexed(desk: Desk, count: int) -> None:
    for _ in range(count):
        await desk.bench.ready()
    await written(await desk.bench.prepared(), count)


async def test_another_model_from_build_to_drop(desk: Desk, processing: Postgres) -> None:
    assert "no index yet" in await desk.did("status")
    assert "not ready" in await desk.refused("build", "--detach")
    await indexed(desk, 2)
    folder = tiny_encoder(desk.models / "letters")
    encoder = locate(str(folder)).name

    said = await desk.did("build", "--encoder", str(folder), "--detach")
    (new,) = (name for name in await desk.rows() if name != "g1")
    assert f"{new} is being built by {encoder}" in said
    row = (await desk.rows())[new]
    assert (row["state"], row["encoder"], row["dimension"]) == ("building", encoder, 32)
    assert (row["documents"], row["missing"], row["being filled"]) == (0, 2, True)
    assert "2 of 2 documents are missing" in await desk.refused("promote", "--wait", "0")

    assert "no longer built" in await desk.did("stop")
    assert (await desk.rows())[new]["state"] == "building (stopped)"
    assert "Say which generation" in await desk.refused("stop")
    await desk.did("build", "--encoder", str(folder), "--detach")
    assert set(await desk.rows()) == {"g1", new}
    await desk.work()
    assert "holds all 2 documents" in await desk.did("build", "--encoder", str(folder))

    assert f"{new} answers all searches now" in await desk.did("promote")
    rows = await desk.rows()
    assert {name: row["state"] for name, row in rows.items()} == {"g1": "retired", new: "live"}
    assert rows[new]["being filled"] is False
    assert "live already" in await desk.refused("promote", new)
    assert "nothing to build" in await desk.refused("build", "--encoder", str(folder))
    assert "cannot be dropped" in await desk.refused("drop", new)
    assert "no generation 'g9'" in await desk.refused("drop", "g9")

    await desk.did("drop", "g1")
    assert set(await desk.rows()) == {new}
    assert not (desk.settings.index_path / "g1").exists()
    async with processing.connection() as connection:
        records = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
    assert [one["body"]["event"] for one in records] == [
        "index.build",
        "index.stop",
        "index.build",
        "index.build",
        "index.promote",
        "index.drop",
    ]


async def test_back_to_the_former_model(desk: Desk) -> None:
    first, second = (tiny_encoder(desk.models / name, seed=seed) for seed, name in enumerate(["one", "two"]))
    names = [locate(str(folder)).name for folder in (first, second)]
    await desk.bench.index.create(Generation("old", names[0], 32, analysis.VERSION, source=str(first)))
    await desk.bench.index.promote("old")
    await desk.did("build", "--encoder", str(second), "--detach")
    await desk.work()
    await desk.did("promote")
    assert (await desk.bench.index.live()).encoder == names[1]
    await desk.did("promote", "old")
    assert (await desk.bench.index.live()).encoder == names[0]


async def test_forced_while_documents_are_missing(desk: Desk) -> None:
    await indexed(desk, 1)
    await desk.did("build", "--encoder", str(tiny_encoder(desk.models / "letters")), "--detach")
    await desk.did("promote", "--force")
    assert (await desk.bench.index.lexical(LexicalQuery(()), READER, limit=9)).total == 0
    await desk.work()
    assert (await desk.bench.index.lexical(LexicalQuery(()), READER, limit=9)).total == 1


async def test_a_model_that_is_gone_or_was_changed_is_not_promoted(desk: Desk) -> None:
    await indexed(desk, 1)
    folder = tiny_encoder(desk.models / "letters")
    await desk.did("build", "--encoder", str(folder), "--detach")
    await desk.work()
    tiny_encoder(folder, seed=7)
    assert "is not on this machine" in await desk.refused("promote")
    assert (await desk.bench.index.live()).name == "g1"
    tiny_encoder(folder)
    await desk.did("promote")


async def test_models_that_cannot_be_used_are_refused_before_anything_is_made(desk: Desk) -> None:
    await indexed(desk, 1)
    folder = tiny_encoder(desk.models / "letters")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    assert "cannot be loaded" in await desk.refused("build", "--encoder", str(folder))
    (folder / "model.safetensors").unlink()
    assert "is not whole" in await desk.refused("build", "--encoder", str(folder))
    assert [one.state for one in await desk.bench.index.generations()] == [GenerationState.LIVE]
