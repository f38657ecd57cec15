"""From the queue to a real SMTP server: once in effect, tried again where that helps, given up where not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest

from actors.composition import mailer_of
from actors.mailer import Mailer
from config.mail_settings import MailSettings
from config.secrets import SecretStore
from config.settings import HttpSettings, Settings
from deployments.gateway.metrics import StoreGauges
from domain.mail import MailKind
from stores.keyring import SecretKeys
from stores.listening import Listener
from stores.mail.queue import CHANNEL, MailQueue
from stores.mail.senders import open_mail
from stores.ports import Mail
from stores.postgres import Postgres
from tests.contract.auth.people import Person, provision
from tests.smtp_server import SmtpServer, smtp_server

ORIGIN = "https://search.hospital.example"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmtpServer]:
    with smtp_server(tmp_path_factory.mktemp("smtp")) as running:
        yield running


@pytest.fixture
async def db(settings: Settings, secrets: SecretStore) -> AsyncIterator[Postgres]:
    db = Postgres.of(settings, secrets, "auth")
    async with db.transaction() as connection:
        await connection.execute("DELETE FROM mail")
    yield db
    await db.close()


class Post:
    """A mailer on the test's queue, and what became of mails."""

    def __init__(self, settings: Settings, secrets: SecretStore, db: Postgres, mail: MailSettings) -> None:
        http = HttpSettings(public_url=ORIGIN)
        self.settings = settings.model_copy(update={"mail": mail, "http": http})
        self.db = db
        self.waker = Listener(db.target, secrets, CHANNEL)
        keys = SecretKeys.of(settings, secrets)
        self.mailer: Mailer = mailer_of(
            self.settings, db, open_mail(self.settings, secrets), keys, self.waker
        )

    async def add(self, address: str, kind: MailKind = MailKind.NAME_TAKEN, user: UUID | None = None) -> UUID:
        async with self.db.transaction() as connection:
            return await MailQueue.add(connection, user, kind, address=address)

    async def outcome(self, mail: UUID) -> tuple[str, int, str | None]:
        """Where a mail stands, after how many attempts, and why."""
        async with self.db.connection() as connection:
            row = await connection.fetchrow("SELECT * FROM mail WHERE id = $1", mail)
        state = "sent" if row["sent_at"] else "failed" if row["failed_at"] else "waiting"
        return state, row["attempts"], row["reason"]

    async def events(self, mail: UUID) -> list[tuple[str, str]]:
        async with self.db.connection() as connection:
            rows = await connection.fetch(
                "SELECT body FROM outbox WHERE body->>'subject' = $1 ORDER BY created_at", str(mail)
            )
        return [(row["body"]["type"], row["body"]["data"]["outcome"]) for row in rows]


@pytest.fixture
async def post(
    settings: Settings, secrets: SecretStore, db: Postgres, server: SmtpServer
) -> AsyncIterator[Post]:
    mail = MailSettings(
        host="127.0.0.1", port=server.port, tls="none", timeout_seconds=1, retry_seconds=(0.05, 0.05)
    )
    made = Post(settings, secrets, db, mail)
    yield made
    await made.waker.close()


async def test_a_mail_reaches_its_one_recipient(post: Post, server: SmtpServer) -> None:
    address = f"{uuid4().hex}@example.com"
    mail = await post.add(address)
    assert await post.mailer.run_once() == 1
    assert await post.outcome(mail) == ("sent", 1, None)
    (message,) = server.messages(address)
    assert (message["to"], message["message-id"]) == (address, f"<{mail}@search.hospital.example>")
    assert str(message["from"]) == "medsearch <no-reply@search.hospital.example>"
    assert message["auto-submitted"] == "auto-generated"
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert "another user name" in plain.get_content()
    assert "<p>Register again" in html.get_content()
    assert await post.events(mail) == [
        ("notification.requested", "requested"),
        ("notification.delivered", "success"),
    ]
    assert await post.mailer.run_once() == 0


async def test_a_server_that_comes_back_gets_the_same_mail_once(
    post: Post, server: SmtpServer, settings: Settings, secrets: SecretStore
) -> None:
    person = Person(None)  # type: ignore[arg-type]
    user = await provision(settings, secrets, person, "doctor")
    server.stop()
    try:
        async with post.db.transaction() as connection:
            mail = await MailQueue.add(connection, user, MailKind.RESET)
        await post.mailer.run_once()
        assert await post.outcome(mail) == ("waiting", 1, "mail.server_unavailable")
        token = await _token_row(post.db, mail)
    finally:
        server.start()
    await _until_done(post, mail)
    assert (await post.outcome(mail))[:2] == ("sent", 2)
    (message,) = server.messages(person.email)
    assert message["message-id"] == f"<{mail}@search.hospital.example>"
    assert await _token_row(post.db, mail) == token
    body = message.get_body(("plain",))
    assert body is not None
    assert f"\r\n{ORIGIN}/account/reset#token=" in body.get_content()


@pytest.mark.parametrize(
    ("name", "outcome"),
    [
        ("refused", ("failed", 1, "mail.recipient_refused")),
        ("spam", ("failed", 1, "mail.refused")),
        ("later", ("failed", 3, "mail.server_unavailable")),
    ],
)
async def test_what_is_refused_for_good_is_not_tried_again(
    post: Post, name: str, outcome: tuple[str, int, str]
) -> None:
    mail = await post.add(f"{name}@example.com")
    await _until_done(post, mail)
    assert await post.outcome(mail) == outcome
    assert (await post.events(mail))[-1] == ("notification.failed", outcome[2])


async def test_a_slow_server_holds_up_nobody_for_long(post: Post, server: SmtpServer) -> None:
    slow, address = await post.add("slow@example.com"), f"{uuid4().hex}@example.com"
    quick = await post.add(address)
    assert await post.mailer.run_once() == 2
    assert (await post.outcome(quick))[0] == "sent"
    assert await post.outcome(slow) == ("waiting", 1, "mail.timeout")


@pytest.mark.parametrize(
    ("mail", "reason"),
    [
        ({"tls": "starttls"}, "mail.server_unavailable"),
        ({"tls": "implicit"}, "mail.server_unavailable"),
        ({"tls": "starttls", "username": "medsearch"}, "mail.password_missing"),
    ],
)
async def test_without_protection_or_password_nothing_is_sent(
    settings: Settings,
    secrets: SecretStore,
    db: Postgres,
    server: SmtpServer,
    mail: dict[str, Any],
    reason: str,
) -> None:
    before = len(server.taken())
    wanted = MailSettings(host="127.0.0.1", port=server.port, timeout_seconds=2, **mail)
    made = Post(settings, secrets, db, wanted)
    number = await made.add("a@example.com")
    await made.mailer.run_once()
    assert await made.outcome(number) == ("waiting", 1, reason)
    assert len(server.taken()) == before
    await made.waker.close()


class Broken:
    """A sender with a mistake in it."""

    async def send(self, mail: Mail) -> None:
        raise ValueError(mail.recipient)

    async def close(self) -> None:
        return None


async def test_a_mistake_of_ours_holds_up_nobody_and_ends(
    post: Post, secrets: SecretStore, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = SecretKeys.of(post.settings, secrets)
    mailer = mailer_of(post.settings, post.db, Broken(), keys, post.waker)
    mail = await post.add("secret-address@example.com")
    for _ in range(3):
        await mailer.run_once()
        await asyncio.sleep(0.1)
    assert await post.outcome(mail) == ("failed", 3, "mail.unexpected")
    assert "secret-address" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "address",
    ["a@example.com\r\nBcc: b@example.com", "a@example.com, b@example.com", "nobody", "<a@b.example>"],
)
async def test_a14_no_second_recipient_and_no_header_comes_from_an_address(
    post: Post, server: SmtpServer, address: str
) -> None:
    before = len(server.taken())
    mail = await post.add(address)
    await post.mailer.run_once()
    assert await post.outcome(mail) == ("failed", 1, "mail.bad_address")
    assert len(server.taken()) == before


async def test_addresses_in_other_scripts_are_reached(post: Post, server: SmtpServer) -> None:
    mails = [await post.add("jürgen@bücher.example"), await post.add("anna@bücher.example")]
    await post.mailer.run_once()
    assert [(await post.outcome(mail))[0] for mail in mails] == ["sent", "sent"]
    assert {one["to"][0] for one in server.taken()} >= {
        "jürgen@xn--bcher-kva.example",
        "anna@xn--bcher-kva.example",
    }


async def test_a_row_for_nobody_is_dropped(post: Post, db: Postgres) -> None:
    async with db.transaction() as connection:
        mail = await MailQueue.add(connection, None, MailKind.RESET)
    await post.mailer.run_once()
    assert await post.outcome(mail) == ("failed", 1, "nobody")


async def test_a_mail_without_words_holds_up_nobody(post: Post, db: Postgres) -> None:
    wrong = await post.add("a@example.com", MailKind.ROLE_APPROVED)
    async with db.transaction() as connection:
        unknown = await MailQueue.add(connection, None, MailKind.WELCOME, address="a@example.com")
        await connection.execute("UPDATE mail SET template = 'of-another-release' WHERE id = $1", unknown)
    right = await post.add(f"{uuid4().hex}@example.com")
    await post.mailer.run_once()
    assert [(await post.outcome(mail))[2] for mail in (wrong, unknown, right)] == [
        "template",
        "template",
        None,
    ]


async def test_two_mailers_never_send_the_same_mail(
    post: Post, server: SmtpServer, settings: Settings, secrets: SecretStore
) -> None:
    other = Post(settings, secrets, post.db, post.settings.mail)
    address = f"{uuid4().hex}@example.com"
    for _ in range(6):
        await post.add(address)
    await asyncio.gather(*(mailer.run_once() for mailer in (post.mailer, other.mailer) * 3))
    assert len(server.messages(address)) == 6
    await other.waker.close()


async def test_who_lost_the_claim_changes_nothing(post: Post, db: Postgres) -> None:
    mail = await post.add("a@example.com")
    async with db.transaction() as connection:
        (frozen,) = await MailQueue.claim(connection, limit=1, lease=timedelta(0))
        (taken,) = await MailQueue.claim(connection, limit=1, lease=timedelta(60))
        await MailQueue.failed(connection, frozen, "late")
        await MailQueue.put_off(connection, frozen, "late", 0)
        assert await MailQueue.claim(connection, limit=1, lease=timedelta(60)) == []
        await MailQueue.sent(connection, taken)
        await MailQueue.failed(connection, taken, "twice")
    assert await post.outcome(mail) == ("sent", 2, None)


async def test_adding_a_mail_wakes_the_mailer(post: Post) -> None:
    await post.mailer.run_once()
    waiting = asyncio.create_task(post.mailer.wait(20))
    await asyncio.sleep(0.1)
    await post.mailer.run_once()
    await post.add("a@example.com")
    async with asyncio.timeout(5):
        await waiting


async def test_mails_that_wait_are_counted_with_the_age_of_the_oldest(
    post: Post, db: Postgres, settings: Settings, secrets: SecretStore
) -> None:
    async with db.transaction() as connection:
        sent, failed, *_ = [
            await MailQueue.add(connection, None, MailKind.NAME_TAKEN, address="a@example.com")
            for _ in range(4)
        ]
        await connection.execute("UPDATE mail SET created_at = now() - interval '90 seconds'")
        await connection.execute("UPDATE mail SET sent_at = now() WHERE id = $1", sent)
        await connection.execute("UPDATE mail SET failed_at = now() WHERE id = $1", failed)
    gauges = StoreGauges(settings, secrets)
    samples = {sample.name: sample.value for sample in await gauges.collect()}
    await gauges.close()
    assert samples["medsearch_mail_waiting"] == 2
    assert 89 < samples["medsearch_mail_oldest_seconds"] < 200


async def test_old_mails_and_links_are_forgotten(post: Post, db: Postgres) -> None:
    done = await post.add("a@example.com")
    await post.mailer.run_once()
    async with db.transaction() as connection:
        waiting = await MailQueue.add(connection, None, MailKind.RESET)
        await connection.execute("UPDATE mail SET created_at = created_at - interval '31 days'")
    await post.mailer.forget()
    async with db.connection() as connection:
        left = [row["id"] for row in await connection.fetch("SELECT id FROM mail")]
    assert waiting in left
    assert done not in left


async def test_without_a_server_mails_land_in_the_folder(
    settings: Settings, secrets: SecretStore, db: Postgres, tmp_path: Path
) -> None:
    made = Post(settings, secrets, db, MailSettings(folder=tmp_path / "mail"))
    mail = await made.add("a@example.com")
    await made.mailer.run_once()
    (file,) = (tmp_path / "mail").iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (f"{mail}.eml", 0o600)
    assert (tmp_path / "mail").stat().st_mode & 0o777 == 0o700
    assert message_from_bytes(file.read_bytes(), policy=default)["to"] == "a@example.com"
    (tmp_path / "file").write_text("")
    blocked = Post(settings, secrets, db, MailSettings(folder=tmp_path / "file"))
    other = await blocked.add("a@example.com")
    await blocked.mailer.run_once()
    assert await blocked.outcome(other) == ("waiting", 1, "mail.folder_unavailable")
    for one in (made, blocked):
        await one.waker.close()


async def _until_done(post: Post, mail: UUID) -> None:
    async with asyncio.timeout(20):
        while (await post.outcome(mail))[0] == "waiting":
            await post.mailer.run_once()
            await asyncio.sleep(0.02)


async def _token_row(db: Postgres, mail: UUID) -> Any:
    async with db.connection() as connection:
        return dict(await connection.fetchrow("SELECT * FROM email_token WHERE id = $1", mail))
