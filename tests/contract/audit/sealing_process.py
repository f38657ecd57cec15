"""A process that seals one record after another until it is killed: `python -m ... DATA_DIR`."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from config.secrets import SecretStore
from config.settings import Settings
from stores.audit_sealing import AuditSealing
from stores.keyring import SecretKeys
from stores.postgres import Postgres


async def main(data_dir: Path) -> None:
    settings = Settings(data_dir=data_dir)
    secrets = SecretStore(settings.secrets_path)
    db = Postgres.of(settings, secrets, "audit", "audit-sealer")
    sealing = AuditSealing(db, SecretKeys.of(settings, secrets), batch=1)
    print("ready", flush=True)
    while True:
        if not await sealing.seal():
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
