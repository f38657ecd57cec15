"""F12: the connection to Postgres is cut between COMMIT and its reply, by a proxy that we are."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Self

import pytest

from config.policy import AccessPolicy
from config.secrets import SecretStore
from config.settings import Settings
from deployments.documents.bodies import PlainUpload
from deployments.documents.lookup import DocumentLookup
from deployments.documents.rights import Rights
from deployments.documents.schemas import UploadParameters
from deployments.documents.uploads import Uploads
from domain.access import Caller
from domain.errors import Unavailable
from stores.blobs import DiskBlobs
from stores.documents import DocumentStore
from stores.postgres import Postgres, database
from tests.contract.documents.conftest import World
from tests.contract.documents.uploading import PDF, pieces


class CuttingProxy:
    """Forwards a Postgres socket; when armed it lets the next COMMIT through and swallows the reply."""

    def __init__(self, target: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="cut-"))
        self.armed = False
        self.cuts = 0
        self._target = target
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_unix_server(self._serve, self.folder / ".s.PGSQL.5432")
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()
        shutil.rmtree(self.folder)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        server_reader, server_writer = await asyncio.open_unix_connection(self._target / ".s.PGSQL.5432")
        replies = asyncio.create_task(self._copy(server_reader, writer))
        try:
            while data := await reader.read(65536):
                cutting = self.armed and b"COMMIT;" in data
                if cutting:
                    self.armed = False
                    replies.cancel()
                    await asyncio.wait([replies])
                server_writer.write(data)
                await server_writer.drain()
                if cutting:
                    assert b"COMMIT\0" in await server_reader.read(65536)
                    self.cuts += 1
                    break
        finally:
            replies.cancel()
            server_writer.close()
            writer.close()
            self._tasks.discard(task)

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()


@pytest.fixture
async def proxy(settings: Settings) -> AsyncIterator[CuttingProxy]:
    async with CuttingProxy(Path(database(settings, "document").host)) as proxy:
        yield proxy


async def test_after_a_cut_commit_the_same_key_gives_the_same_document(
    world: World, proxy: CuttingProxy, settings: Settings, secrets: SecretStore
) -> None:
    account = world.account("doctor")
    caller = Caller(account.id, "doctor", account.principals)
    db = Postgres(replace(database(settings, "document"), host=str(proxy.folder)), secrets)
    store = DocumentStore(db)
    blobs = DiskBlobs(settings.blobs_path)
    lookup = DocumentLookup(store, Rights(AccessPolicy.load()), world.audit)
    uploads = Uploads(store, blobs, world.audit, lookup, limit=1000)

    async def upload() -> dict[str, object]:
        plain = PlainUpload(UploadParameters(), pieces(PDF))
        return (await uploads.create(caller, plain, key="the same")).body

    proxy.armed = True
    with pytest.raises(Unavailable):
        await upload()
    assert proxy.cuts == 1
    (row,) = await world.rows("SELECT id, sha256 FROM document")
    answer = await upload()
    assert (answer["id"], answer["duplicate"]) == (str(row["id"]), False)
    assert len(await world.rows("SELECT id FROM document")) == 1
    assert len(await world.events("document.uploaded")) == 1
    assert world.blobs(f"originals/{row['id']}") == [f"originals/{row['id']}/1"]
    assert world.blobs("incoming") == []
    await db.close()
