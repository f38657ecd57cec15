"""Input that no application should have to think of: refused before it is parsed into a model."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.edge.problems import from_error
from domain.errors import FieldError, Invalid, TooLarge

JSON_LIMIT_BYTES = 1024 * 1024
DEPTH_LIMIT = 32
LARGEST_INTEGER = 2**63


class BodyLimit:
    """413 for a body over `limit` bytes: by its announced length at once, else when the bytes go over it."""

    def __init__(self, app: ASGIApp, *, limit: int) -> None:
        self.app = app
        self._limit = limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        announced = Headers(scope=scope).get("content-length", "0")
        if not announced.isdecimal() or int(announced[:20]) > self._limit:
            return await from_error(self._too_large())(scope, receive, send)
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._limit:
                raise HTTPException(413)  # FastAPI lets only this class pass while it reads a body
            return message

        return await self.app(scope, counted, send)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"The body may have at most {self._limit} bytes.")


def check_address(scope: Scope) -> None:
    """Raises `Invalid` for NUL or broken UTF-8 in path and query."""
    raw: bytes = scope["query_string"]
    if "\x00" in scope["path"] or "\ufffd" in scope["path"] or b"%00" in raw or b"\x00" in raw:
        raise Invalid("The address contains characters that are not allowed.")


def check_query(raw: bytes, known: frozenset[str]) -> None:
    """Raises `Invalid` naming the query parameters that the route does not know, or broken UTF-8."""
    try:
        names = [
            name
            for name, _ in parse_qsl(
                raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=200
            )
        ]
    except ValueError:
        raise Invalid("The query string is not valid UTF-8, or has too many fields.") from None
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if unknown:
        fields = tuple(
            FieldError(name[:100], "extra_forbidden", "There is no such parameter.") for name in unknown
        )
        raise Invalid("The request has parameters that do not exist.", errors=fields)


def check_content_type(value: str) -> None:
    """Raises `Invalid` unless the body is announced as JSON in UTF-8."""
    kind, _, parameters = value.lower().partition(";")
    if kind.strip() != "application/json" or parameters.strip() not in (
        "",
        "charset=utf-8",
        'charset="utf-8"',
    ):
        raise Invalid("Send the body as JSON, with Content-Type: application/json.", code="request.not_json")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259, UTF-8); raises `Invalid` naming what is wrong.

    Refused are: members named twice, depth over 32, numbers that do not fit (1e400, 10**400, NaN), NUL and
    lone surrogates in strings.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_no_number,
            parse_float=_finite,
            parse_int=_integer,
        )
    except UnicodeDecodeError:
        raise _bad("The body is not UTF-8.") from None
    except json.JSONDecodeError as error:
        raise _bad(f"The body is not JSON (position {error.pos}).") from None
    except RecursionError:
        raise _bad("The JSON is nested too deeply.") from None
    for text, depth in _walk(value):
        if depth > DEPTH_LIMIT:
            raise _bad("The JSON is nested too deeply.")
        if "\x00" in text or any(0xD800 <= ord(character) <= 0xDFFF for character in text):
            raise _bad("The JSON has a string with NUL or half a surrogate pair.")
    return value


def _bad(message: str) -> Invalid:
    return Invalid(message, code="request.invalid_json")


def _walk(value: Any) -> Iterator[tuple[str, int]]:
    """Every string (and "" for every container) with its depth, without recursion."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        if isinstance(item, str):
            yield item, depth
        elif isinstance(item, dict | list):
            yield "", depth + 1
            waiting += [(inner, depth + 1) for inner in item]
            if isinstance(item, dict):
                waiting += [(inner, depth + 1) for inner in item.values()]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise _bad("The JSON names a member twice.")
    return members


def _no_number(text: str) -> float:
    raise _bad(f"{text} is not JSON.")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _bad("The JSON has a number that is too large.")
    return value


def _integer(text: str) -> int:
    if len(text) > 20 or abs(int(text)) >= LARGEST_INTEGER:
        raise _bad("The JSON has a number that is too large.")
    return int(text)


async def read_body(receive: Receive) -> bytes:
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The body ended early.", code="request.incomplete")
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > JSON_LIMIT_BYTES:
            raise TooLarge(f"A JSON body may have at most {JSON_LIMIT_BYTES} bytes.")
        if not message.get("more_body", False):
            return b"".join(chunks)


def replay(body: bytes, receive: Receive) -> Receive:
    """Give the body once more, then whatever follows (the disconnect)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
