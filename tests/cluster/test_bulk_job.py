"""The bulk load as a job of a real Ray. Processing is a hand that moves documents to their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cluster.demo.generate import corpus, write
from deployments.auth.provisioning import Provisioning
from domain.ids import new_id
from stores.postgres import connect, database
from tests.platform import Platform


@pytest.fixture
def owner(platform: Platform) -> str:
    username = f"owner-{new_id().hex[-8:]}"

    async def provision() -> None:
        provisioning = Provisioning.of(platform.settings, platform.secrets)
        await provisioning.create_account(
            email=f"{username}@example.org",
            username=username,
            password=None,
            first_name="Owner",
            last_name="Of Documents",
            role="doctor",
        )
        await provisioning.close()

    asyncio.run(provision())
    return username


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(corpus(6, seed=5), tmp_path / "share of ours")
    return tmp_path / "share of ours"


@contextmanager
def processing(platform: Platform) -> Iterator[None]:
    """Documents end as soon as they are there: empty ones rejected, the others indexed."""
    stop = threading.Event()

    async def work() -> None:
        connection = await connect(database(platform.settings, "document"), platform.secrets)
        while not stop.is_set():
            await connection.execute(
                """
                UPDATE document SET status = CASE WHEN bytes = 0 THEN 'rejected' ELSE 'indexed' END,
                                    reason_code = CASE WHEN bytes = 0 THEN 'empty' END
                WHERE status = 'received'
                """
            )
            await asyncio.sleep(0.05)
        await connection.close()

    worker = threading.Thread(target=asyncio.run, args=[work()])
    worker.start()
    try:
        yield
    finally:
        stop.set()
        worker.join(10)


def test_its_log_is_followed_and_its_end_is_the_exit_code(
    platform: Platform, folder: Path, owner: str
) -> None:
    (folder / "empty.pdf").touch()
    with processing(platform):
        done = platform.medsearch("ingest", str(folder), "--owner", owner)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "7 files found" in done.stdout
    assert "6  indexed" in done.stdout
    assert "empty.pdf: The file is empty." in done.stdout
    assert done.stderr == ""

    answer = platform.serve_api("GET", "/api/jobs/")
    job = next(job for job in answer.json() if str(folder) in (job["entrypoint"] or ""))
    assert job["entrypoint"] == f"python -m cluster.ingest '{folder}' --owner {owner} --patient-from none"
    names = job["runtime_env"].get("env_vars", {})
    assert not any("MEDSEARCH" in name or "TOKEN" in name for name in names)
    secrets = [path.read_text() for path in platform.settings.secrets_path.iterdir() if path.is_file()]
    assert len(secrets) > 5
    assert not any(secret in answer.text for secret in secrets)


def test_without_the_token_nothing_is_submitted(platform: Platform, folder: Path, owner: str) -> None:
    token = platform.layout.ray_token
    right = token.read_text()
    token.write_text("wrong")
    try:
        done = platform.medsearch("ingest", str(folder), "--owner", owner)
    finally:
        token.write_text(right)
    assert done.returncode == 1
    assert "refuses us" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_platform_is_told(tmp_path: Path, platform: Platform) -> None:
    token = tmp_path / "platform" / "ray-token"
    token.parent.mkdir()
    token.write_text("any")
    elsewhere = {"MEDSEARCH_DATA_DIR": str(tmp_path), "MEDSEARCH_RAY__DASHBOARD_PORT": "9"}
    stranger = Platform(
        {**platform.environment, **elsewhere},
        platform.settings,
        platform.secrets,
        platform.process,
        platform.output,
    )
    done = stranger.medsearch("ingest", str(tmp_path), "--owner", "anybody")
    assert (done.returncode, "medsearch up" in done.stderr) == (3, True)
