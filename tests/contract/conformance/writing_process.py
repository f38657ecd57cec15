"""Another process that writes to an embedded index and stops within the next batch: PATH GENERATION DATA_FOLDER."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from config.secrets import SecretStore
from config.settings import Settings
from stores.postgres import Postgres
from stores.search.embedded import EmbeddedIndex
from stores.search.shelf import Writers
from tests.contract.conformance.letters import letter


async def main(path: str, generation: str, data_folder: str) -> None:
    settings = Settings(data_dir=Path(data_folder))
    database = Postgres.of(settings, SecretStore(settings.secrets_path), "search")
    index = EmbeddedIndex(Path(path), database, True)
    await index.write(generation, [letter("fever").put])
    writers = Writers(index._shelves[generation])
    print("written", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    writers.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
