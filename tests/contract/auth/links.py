"""Asking for mailed links and using them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import httpx

from tests.contract.auth.mailbox import Mailbox
from tests.contract.auth.people import Person

Arrive = Callable[[], Awaitable[Person]]
NEW = "another long secret"
PUBLIC = "https://search.hospital.example"


async def verify(http: httpx.AsyncClient, token: str) -> httpx.Response:
    return await http.post("/api/v1/auth/verify-email", json={"token": token})


async def forgot(http: httpx.AsyncClient, email: str, **more: Any) -> httpx.Response:
    return await http.post("/api/v1/auth/forgot-password", json={"email": email}, **more)


async def reset(http: httpx.AsyncClient, token: str, password: str = NEW) -> httpx.Response:
    return await http.post("/api/v1/auth/reset-password", json={"token": token, "new_password": password})


def is_bad(answer: httpx.Response) -> bool:
    return (answer.status_code, answer.json().get("code")) == (400, "auth.link_invalid")


async def audited(mailbox: Mailbox, event: str) -> list[dict[str, Any]]:
    """What was written for the trail of this event, oldest first."""
    async with mailbox.db.connection() as connection:
        rows = await connection.fetch("SELECT body FROM outbox WHERE kind = 'audit' ORDER BY id")
    return [row["body"] for row in rows if row["body"]["event"] == event]
