"""2,000 requests made from the OpenAPI document, sound and unsound ones, by callers of every kind.

No answer is a fault of ours, none ignores who calls, and each is as its schema says. `MEDSEARCH_TEST_SEED` chooses
other requests; the seed is printed.
"""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterator, Mapping
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from config.policy import AccessPolicy
from tests.contract.whole.platform import Whole
from tests.openapi import Operation, document, operations

CASES = 2000
SEED = int(os.environ.get("MEDSEARCH_TEST_SEED", "20261125"))
POLICY = AccessPolicy.load()
STRANGERS = ("anonymous", "forged")
STAND_STILL = {"Authorization": "Bearer eyJhbGciOiJub25lIn0.e30."}
UNSENDABLE = (httpx.InvalidURL, httpx.UnsupportedProtocol, UnicodeError, TypeError, ValueError)
"""What the client itself refuses to send."""


@pytest.mark.timeout(900)
async def test_ac12_generated_requests_meet_no_fault_and_no_open_door(whole: Whole) -> None:
    print(f"MEDSEARCH_TEST_SEED={SEED}")
    load_all_checks()
    schema = schemathesis.openapi.from_dict(document())
    callers = {role: await whole.account(role) for role in POLICY.roles}
    kinds = itertools.cycle([*POLICY.roles, *STRANGERS])
    endpoints = operations()
    quota = math.ceil(CASES / sum(_varies(operation) for operation in endpoints))
    faults, sent = [], 0
    for operation in endpoints:
        for case in _cases(schema, operation, quota):
            kind = next(kinds)
            headers = await whole.bearer(callers[kind]) if kind in callers else {}
            answer = await _send(whole.client, case, STAND_STILL if kind == "forged" else headers)
            if answer is not None:
                sent += 1
                faults += _faults(operation, case, kind, answer)
    await _resume(whole, callers)
    assert faults == []
    assert sent >= CASES * 0.95


def _cases(schema: Any, operation: Operation, count: int) -> Iterator[Case]:
    """Sound and unsound requests in turn."""
    found = schema[operation.path][operation.method]
    halves = [
        _drawn(found.as_strategy(generation_mode=mode), math.ceil(count / 2) + 1)
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if mode is GenerationMode.POSITIVE or _varies(operation)
    ]
    return itertools.chain.from_iterable(halves)


def _varies(operation: Operation) -> bool:
    return operation.takes_json or bool(operation.detail.get("parameters"))


def _drawn(strategy: Any, count: int) -> list[Case]:
    drawn: list[Case] = []

    @seed(SEED)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def collect(case: Case) -> None:
        drawn.append(case)

    collect()
    return drawn


async def _send(client: httpx.AsyncClient, case: Case, headers: Mapping[str, str]) -> httpx.Response | None:
    """The answer; None for what cannot be put into HTTP at all."""
    wish = case.as_transport_kwargs(base_url="http://test")
    body = {"content" if name == "data" else name: wish[name] for name in ("json", "data") if name in wish}
    if not isinstance(body.get("content", b""), bytes | str):
        body = {"data": wish["data"]}
    try:
        request = client.build_request(
            wish["method"],
            wish["url"],
            params=wish.get("params"),
            headers={**{k: v for k, v in wish["headers"].items() if k != "Authorization"}, **headers},
            **body,
        )
    except UNSENDABLE:
        return None
    return await client.send(request)


def _faults(operation: Operation, case: Case, kind: str, answer: httpx.Response) -> list[str]:
    """What is wrong with one answer."""
    found, status = [], answer.status_code
    if status >= 500 and not (status == 503 and "retry-after" in answer.headers):
        found.append(f"{status}")
    if operation.permission != "anyone" and status < 400:
        if kind in STRANGERS:
            found.append(f"{status} for somebody {kind}")
        elif not POLICY.allows(kind, operation.permission):
            found.append(f"{status} for the role {kind}")
    try:
        case.validate_response(answer, checks=[response_schema_conformance, content_type_conformance])
    except BaseExceptionGroup as error:
        found += [str(inner).splitlines()[0] for inner in error.exceptions]
    return [f"{operation.name} ({kind}): {fault}: {answer.text[:300]}" for fault in found]


async def _resume(whole: Whole, callers: Mapping[str, Any]) -> None:
    """A sound request may have paused the processing."""
    headers = await whole.bearer(callers["records_manager"])
    await whole.client.put("/api/v1/processing/claiming", json={"paused": False}, headers=headers)
