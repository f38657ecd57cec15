"""Another e-mail address for an account: wished for with the password, in force when its mailed link is used.

Nobody is told whether an address belongs to another account but whoever reads that address's mail.
"""

from __future__ import annotations

from uuid import UUID

import asyncpg

from deployments.auth.identifiers import Address
from deployments.edge.context import request_id
from domain.mail import MailKind
from stores.accounts import Accounts
from stores.addresses import AccountAddresses, Addresses
from stores.mail.queue import MailQueue


async def wish(connection: asyncpg.Connection, user: UUID, new: Address) -> bool:
    """Note the wish and mail both addresses; False when it is the address that counts already."""
    addresses = Addresses(connection)
    known = await addresses.locked(user)
    if known is None or known.email_key == new.key:
        await addresses.wish(user, None, None)
        return False
    await addresses.wish(user, new.stored, new.key)
    owner = await Accounts(connection).by_email(new.key)
    if owner is None:
        await _mail(connection, user, MailKind.EMAIL_CHANGE, new.stored)
    else:
        await _mail(connection, owner.id, MailKind.EMAIL_CHANGE_TAKEN)
    await _mail(connection, user, MailKind.EMAIL_CHANGE_REQUESTED, known.email)
    return True


async def carry_out(connection: asyncpg.Connection, known: AccountAddresses) -> bool:
    """The pending address counts from now on, the former one is told; False when it is another's by now."""
    if not await Addresses(connection).change(known.id):
        return False
    await _mail(connection, known.id, MailKind.EMAIL_CHANGED, known.email)
    return True


async def _mail(
    connection: asyncpg.Connection, account: UUID, kind: MailKind, address: str | None = None
) -> None:
    await MailQueue.add(connection, account, kind, address=address, request_id=request_id())
