"""Requests are counted by account or by the network that they come from."""

from __future__ import annotations

import pytest

from tests.unit.edge.routes import Open


async def test_requests_are_counted_by_account_or_address(serve: Open) -> None:
    async with serve(rate_limit_per_minute=2) as (stand, client):
        header = stand.bearer()
        mine = [await client.get("/api/v1/mine", headers=header) for _ in range(3)]
        others = [await client.get("/api/v1/mine") for _ in range(3)]
        assert (await client.get("/api/v1/mine", headers=stand.bearer())).status_code == 200
        assert [(await client.get("/health")).status_code for _ in range(5)] == [200] * 5
    assert [answer.status_code for answer in mine] == [200, 200, 429]
    assert [answer.status_code for answer in others] == [401, 401, 429]
    assert [answer.headers["ratelimit"] for answer in mine] == [
        f'"requests";r={left};t=60' for left in (1, 0, 0)
    ]
    assert mine[0].headers["ratelimit-policy"] == '"requests";q=2;w=60'
    assert mine[2].headers["retry-after"] == "60"


async def test_a_route_that_is_counted_apart_has_a_window_of_its_own(serve: Open) -> None:
    async with serve(rate_limit_per_minute=2) as (_, client):
        others = [(await client.get("/api/v1/mine")).status_code for _ in range(3)]
        apart = [await client.get("/api/v1/enter") for _ in range(3)]
    assert others == [401, 401, 429]
    assert [answer.status_code for answer in apart] == [200, 200, 429]
    assert apart[0].headers["ratelimit-policy"] == '"enter";q=2;w=60'


@pytest.mark.parametrize(
    ("senders", "statuses"),
    [
        (["2001:db8:1:2::1", "2001:db8:1:2:3::4", "2001:db8:1:2:ffff::"], [200, 200, 429]),
        (["2001:db8:1:2::1", "2001:db8:1:2::2", "2001:db8:1:3::1"], [200, 200, 200]),
        (["198.51.100.1", "::ffff:198.51.100.1", "198.51.100.1"], [200, 200, 429]),
        (["198.51.100.1", "198.51.100.2", "198.51.100.3"], [200, 200, 200]),
    ],
)
async def test_a11_limits_count_the_network_of_an_ipv6_address(
    serve: Open, senders: list[str], statuses: list[int]
) -> None:
    async with serve("10.0.0.1", trusted_proxies=("10.0.0.0/8",), rate_limit_per_minute=2) as (_, client):
        answers = [
            await client.post("/api/v1/things/1", json={"name": "a"}, headers={"X-Forwarded-For": sender})
            for sender in senders
        ]
    assert [answer.status_code for answer in answers] == statuses
    told = [answer.json()["address"] for answer in answers if answer.status_code == 200]
    assert told == senders[: len(told)], "what is recorded is the whole address"


@pytest.mark.parametrize(
    ("client", "trusted", "forwarded", "found"),
    [
        ("192.0.2.1", (), "203.0.113.5", "192.0.2.1"),
        ("10.0.0.1", ("10.0.0.0/8",), "203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "198.51.100.1, 203.0.113.5", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "203.0.113.5, 10.0.0.7", "203.0.113.5"),
        ("10.0.0.1", ("10.0.0.0/8",), "nonsense", ""),
        ("10.0.0.1", ("10.0.0.0/8",), "", ""),
        ("2001:db8::1", ("2001:db8::/32",), "203.0.113.5", "203.0.113.5"),
    ],
)
async def test_a11_forwarded_for_counts_only_from_trusted_proxies(
    serve: Open, client: str, trusted: tuple[str, ...], forwarded: str, found: str
) -> None:
    async with serve(client, trusted_proxies=trusted) as (_, http):
        answer = await http.post(
            "/api/v1/things/1", json={"name": "a"}, headers={"X-Forwarded-For": forwarded}
        )
    assert answer.json()["address"] == found
