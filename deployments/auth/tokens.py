"""What a login or a refresh hands out."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from config.settings import Settings
from domain.ids import new_id
from domain.tokens import Claims
from stores.accounts import Account
from stores.ports import Keys, Purpose
from stores.refresh_tokens import Session


@dataclass(frozen=True, slots=True)
class TokenPair:
    """An access token and the refresh token that gets the next one; lifetimes in seconds."""

    access_token: str = field(repr=False)
    expires_in: int
    refresh_token: str = field(repr=False)
    refresh_expires_in: int


class TokenIssuer:
    """Makes access tokens that end with their session at the latest."""

    def __init__(self, keys: Keys, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        self._keys = keys
        self._issuer = settings.token_issuer
        self._settings = settings.auth
        self._clock = clock

    def issue(self, account: Account, session: Session, refresh_token: str) -> TokenPair:
        now = int(self._clock())
        left = max(1, int(session.expires_at.timestamp()) - now)
        life = min(self._settings.access_token_seconds, left)
        claims = Claims(
            subject=account.id,
            session=session.id,
            role=account.role,
            token_version=account.token_version,
            issued_at=now,
            expires_at=now + life,
            token_id=new_id(),
        )
        token = self._keys.signing(Purpose.TOKEN).issue(
            claims, issuer=self._issuer, audience=self._settings.audience
        )
        return TokenPair(token, life, refresh_token, left)
