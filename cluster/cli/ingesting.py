"""Submitting the bulk load (`cluster.ingest`) to Ray's job server and following its log."""

from __future__ import annotations

import asyncio
import logging
import shlex
from pathlib import Path
from typing import Any

import typer
from ray.exceptions import RayError
from ray.job_submission import JobSubmissionClient

from cluster.cli.api import Unreachable
from cluster.platform import ray_node
from cluster.platform.layout import Layout
from config.settings import Settings
from domain.errors import MedsearchError

POLL_SECONDS = 0.5
TROUBLE = (RuntimeError, RayError, OSError)
"""What the client of the job server raises; its connection errors are among the last."""


class JobServerFailed(MedsearchError):
    """Ray's job server does not answer, or does not take the job."""

    code = "client.job_server"


def arguments(folder: Path, owner: str, **options: Any) -> list[str]:
    """The command of the job; the folder is made absolute, because the job runs elsewhere."""
    command = ["python", "-m", "cluster.ingest", str(folder.resolve()), "--owner", owner]
    for name, value in options.items():
        if value is not None:
            command += [f"--{name.replace('_', '-')}", str(value)]
    return command


async def submit(settings: Settings, command: list[str], *, detach: bool) -> bool:
    """Submit the job and print its log until it ends; True when it succeeded (or was detached).

    The job inherits its environment from the Ray node: nothing is passed along, least of all secrets.
    """
    logging.getLogger(JobSubmissionClient.__module__).setLevel(logging.WARNING)
    client = await asyncio.to_thread(_client, settings)
    try:
        job = await asyncio.to_thread(client.submit_job, entrypoint=shlex.join(command))
    except TROUBLE as error:
        raise JobServerFailed(f"Ray's job server does not take the job: {error}") from error
    typer.echo(
        f"Job {job} submitted. It goes on without this terminal, and the same command may be run again."
    )
    if detach:
        return True
    try:
        async for lines in client.tail_job_logs(job):
            typer.echo(lines, nl=False)
        return await _outcome(client, job) == "SUCCEEDED"
    except TROUBLE as error:
        raise JobServerFailed(
            f"The log of job {job} broke off. When the platform answers again, run the same command again:"
            " what is loaded is not loaded twice."
        ) from error


async def _outcome(client: JobSubmissionClient, job: str) -> str:
    """The final status: the log may end a moment before the job does."""
    while True:
        status = await asyncio.to_thread(client.get_job_status, job)
        if status.is_terminal():
            return str(status.value)
        await asyncio.sleep(POLL_SECONDS)


def _client(settings: Settings) -> JobSubmissionClient:
    address = ray_node.dashboard_url(settings)
    try:
        return JobSubmissionClient(address, headers=authorization(settings))
    except ConnectionError as error:
        raise Unreachable(
            f"Ray's job server does not answer at {address}. Start the platform: medsearch up"
        ) from error
    except TROUBLE as error:
        raise JobServerFailed(f"Ray's job server at {address} refuses us: {error}") from error


def authorization(settings: Settings) -> dict[str, str]:
    """The token of the platform whose data folder this is; only its own user can read it."""
    token = Layout.of(settings).ray_token
    try:
        return {"Authorization": f"Bearer {token.read_text(encoding='ascii')}"} if settings.ray.auth else {}
    except OSError as error:
        raise JobServerFailed(
            f"Ray's token cannot be read from {token} ({error.strerror})."
            " Run this as the user of 'medsearch up', with its settings."
        ) from error
