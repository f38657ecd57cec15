"""A tiny application for tests of the platform itself, deployed like the real ones."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from ray.serve import Application

from deployments.serving import asgi_deployment


def application(args: dict[str, Any]) -> Application:
    """`args.version` is answered at `/stand-in`."""
    return asgi_deployment("stand_in", functools.partial(build_app, args["version"])).bind()


def build_app(version: str) -> FastAPI:
    app = FastAPI()

    @app.get("/stand-in")
    async def answer() -> dict[str, Any]:
        return {"version": version, "pid": os.getpid(), "cwd": str(Path.cwd())}

    @app.post("/stand-in/body")
    async def body(request: Request) -> dict[str, Any]:
        size = 0
        async for chunk in request.stream():
            size += len(chunk)
        return {"bytes": size, "headers": dict(request.headers)}

    return app
