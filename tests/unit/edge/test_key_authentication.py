"""API keys among made-up ones from the same address."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from config.policy import AccessPolicy
from deployments.edge.key_authentication import FAILURES, KeyAuthentication
from domain.api_keys import ApiKey
from domain.errors import TooMany
from domain.ids import new_id
from domain.tokens import TokenRefused
from stores.ports import ApiKeyState
from tests.unit.edge.doubles import CountingLimiter, HeldKeys


@dataclass
class BusyKeys(HeldKeys):
    """Takes its time, and notes how many wait for it at once."""

    asking: int = 0
    most: int = 0

    async def lookup(self, prefix: str) -> ApiKeyState | None:
        self.asking += 1
        self.most = max(self.most, self.asking)
        await asyncio.sleep(0)
        self.asking -= 1
        return await super().lookup(prefix)


def key_of(keys: HeldKeys) -> ApiKey:
    key = ApiKey.generate()
    principals = frozenset({f"user:{new_id()}", "role:doctor"})
    keys.states[key.prefix] = ApiKeyState(key.digest, True, frozenset({"document.read"}), principals, False)
    return key


async def refused(authentication: KeyAuthentication) -> type[Exception]:
    with pytest.raises((TokenRefused, TooMany)) as error:
        await authentication.caller(ApiKey.generate().text.encode())
    return error.type


async def test_id6_a_key_that_proves_is_let_in_whatever_others_send_from_its_address() -> None:
    keys = BusyKeys()
    authentication = KeyAuthentication(keys, CountingLimiter(), AccessPolicy.load(), mfa_roles=())
    found = [await refused(authentication) for _ in range(FAILURES + 2)]
    assert found == [TokenRefused] * FAILURES + [TooMany] * 2
    key = key_of(keys)
    assert (await authentication.caller(key.text.encode())).api_key == key.prefix
    stolen = ApiKey(key.prefix, ApiKey.generate().secret)
    with pytest.raises(TooMany):
        await authentication.caller(stolen.text.encode())


async def test_id6_too_many_made_up_keys_are_looked_up_one_after_the_other() -> None:
    keys = BusyKeys()
    authentication = KeyAuthentication(keys, CountingLimiter(), AccessPolicy.load(), mfa_roles=())
    for _ in range(FAILURES):
        await refused(authentication)
    key = key_of(keys)
    flood = [refused(authentication) for _ in range(20)]
    *_, caller = await asyncio.gather(*flood, authentication.caller(key.text.encode()))
    assert (caller.api_key, keys.most) == (key.prefix, 1)
