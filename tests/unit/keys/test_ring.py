"""Which keys are in use, and how that changes: the ring alone, without files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from domain.keys import OVERLAP, KeyInfo, KeyState, Purpose, Ring, number_of

NOW = datetime(2030, 1, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=90)


def key(number: int, purpose: Purpose = Purpose.TOKEN, kid: str | None = None) -> KeyInfo:
    name = purpose.name_of(number)
    return KeyInfo(name, purpose, kid or f"kid-{name}", "x", KeyState.NEXT, NOW)


def states(ring: Ring, purpose: Purpose = Purpose.TOKEN) -> dict[str, str]:
    return {one.name: one.state.value for one in ring.of(purpose)}


TWO = Ring().begun(Purpose.TOKEN, [key(1), key(2)], NOW)


@pytest.mark.parametrize("purpose", Purpose)
def test_names(purpose: Purpose) -> None:
    assert [purpose.name_of(number) for number in (1, 2, 12)] == [
        purpose.value, f"{purpose.value}-2", f"{purpose.value}-12",
    ]  # fmt: skip
    for number in (1, 2, 12):
        assert Purpose.of(purpose.name_of(number)) is purpose
        assert number_of(purpose.name_of(number)) == number


@pytest.mark.parametrize(
    "name", ["postgres-owner", "edge-key", "", "auth-signing-key-0", "auth-signing-key-2-2"]
)
def test_other_secrets_are_no_keys(name: str) -> None:
    assert Purpose.of(name) is None


def test_the_last_token_key_waits_and_the_last_of_others_is_in_use() -> None:
    three = [1, 2, 3]
    tokens = Ring().begun(Purpose.TOKEN, [key(n) for n in three], NOW)
    assert states(tokens) == {
        "auth-signing-key-3": "next", "auth-signing-key-2": "current", "auth-signing-key": "retired",
    }  # fmt: skip
    fields = Ring().begun(Purpose.AUDIT_FIELD, [key(n, Purpose.AUDIT_FIELD) for n in three], NOW)
    assert states(fields, Purpose.AUDIT_FIELD) == {
        "audit-field-key-3": "current", "audit-field-key": "retired", "audit-field-key-2": "retired",
    }  # fmt: skip
    assert states(Ring().begun(Purpose.TOKEN, [key(1)], NOW)) == {"auth-signing-key": "current"}


def test_a_promoted_key_retires_the_one_before_for_as_long_as_its_tokens_live() -> None:
    ring = TWO.promoted(key(2), LATER).announced(key(3), LATER)
    assert states(ring) == {
        "auth-signing-key-3": "next", "auth-signing-key-2": "current", "auth-signing-key": "retired",
    }  # fmt: skip
    (old,) = ring.named("auth-signing-key")
    assert (old.since, old.until) == (LATER, LATER + OVERLAP)
    assert ring.lasting(LATER + OVERLAP - timedelta(seconds=1)) == ring
    assert ring.lasting(LATER + OVERLAP).named("auth-signing-key") == []
    assert timedelta(seconds=1860) == OVERLAP


def test_what_was_sealed_or_chained_is_never_given_up() -> None:
    for purpose in (Purpose.AUDIT_FIELD, Purpose.AUDIT_HEAD, Purpose.ACCOUNT_FIELD):
        ring = Ring().begun(purpose, [key(1, purpose)], NOW).promoted(key(2, purpose), LATER)
        assert [one.until for one in ring.of(purpose)] == [None, None]
        assert ring.lasting(datetime.max.replace(tzinfo=UTC)) == ring


def test_a_key_replaced_by_hand_leaves_the_former_one_verifying() -> None:
    (old,) = TWO.named("auth-signing-key")
    ring = TWO.replaced(old, key(1, kid="another"), LATER)
    assert [(one.kid, one.state) for one in ring.named("auth-signing-key")] == [
        ("kid-auth-signing-key", KeyState.RETIRED), ("another", KeyState.CURRENT),
    ]  # fmt: skip
    (waiting,) = TWO.named("auth-signing-key-2")
    assert [one.kid for one in TWO.replaced(waiting, key(2, kid="b"), LATER).of(Purpose.TOKEN)] == [
        "b", "kid-auth-signing-key",
    ]  # fmt: skip


def test_numbers_only_rise() -> None:
    assert (Ring().fresh_number(Purpose.TOKEN), TWO.fresh_number(Purpose.TOKEN)) == (1, 3)
    assert TWO.without("auth-signing-key").fresh_number(Purpose.TOKEN) == 3
    assert TWO.fresh_number(Purpose.AUDIT_HEAD) == 1
