"""Routes of every kind that the middleware stack tells apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.responses import StreamingResponse

from deployments.edge.authentication import anyone, requires
from deployments.edge.context import address, request_id
from deployments.edge.route_table import audit_refusals, counted_apart, stream, transfer, uncounted
from deployments.edge.schemas import Line, StrictModel
from domain.access import Caller
from domain.errors import Conflict, StorageFull, TooMany, Unavailable

router = APIRouter()


class Thing(StrictModel):
    name: Line
    size: int = 0
    inner: dict[str, float] | None = None


@router.post("/api/v1/things/{key}", dependencies=[Depends(anyone)])
@audit_refusals("thing.make")
async def make(key: str, thing: Thing, flag: bool = False) -> dict[str, Any]:
    return {"key": key, "name": thing.name, "flag": flag, "request": request_id(), "address": address()}


@router.get("/api/v1/mine")
async def mine(caller: Annotated[Caller, Depends(requires("document.read"))]) -> dict[str, Any]:
    return {"role": caller.role, "principals": sorted(caller.principals)}


@router.get("/api/v1/own")
async def own(caller: Annotated[Caller, Depends(requires("profile.self"))]) -> dict[str, str]:
    return {"role": caller.role}


@router.post("/api/v1/retry")
async def retry(
    caller: Annotated[Caller, Depends(requires("processing.operate"))], thing: Thing
) -> dict[str, str]:
    return {"role": caller.role}


@router.put("/api/v1/bytes", dependencies=[Depends(anyone)])
@transfer
async def take(request: Request) -> dict[str, int]:
    return {"size": sum([len(chunk) async for chunk in request.stream()])}


@router.get("/api/v1/fail/{how}", dependencies=[Depends(anyone)])
async def fail(how: str) -> None:
    errors: dict[str, Exception] = {
        "conflict": Conflict("It is so."),
        "full": StorageFull("No room."),
        "many": TooMany("Wait.", retry_after=2.1),
        "away": Unavailable("Away."),
        "bug": ValueError("patient Smith has it"),
    }
    raise errors[how]


@router.get("/api/v1/slow", dependencies=[Depends(anyone)])
async def slow() -> None:
    await asyncio.sleep(30)


@router.get("/api/v1/slow-transfer", dependencies=[Depends(anyone)])
@transfer
async def slow_transfer() -> None:
    await asyncio.sleep(0.1)


@router.get("/api/v1/feed", dependencies=[Depends(anyone)])
@stream
async def feed() -> StreamingResponse:
    async def lines() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0.03)
            yield b"x\n"

    return StreamingResponse(lines())


@router.get("/api/v1/enter", dependencies=[Depends(anyone)])
@counted_apart("enter")
async def enter() -> dict[str, str]:
    return {}


@router.get("/health", dependencies=[Depends(anyone)])
@uncounted
async def health() -> dict[str, str]:
    return {}


Open = Callable[..., Any]
