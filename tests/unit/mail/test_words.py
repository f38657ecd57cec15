"""Every kind of mail has words, in text and in HTML, and nothing that is filled in is markup."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from domain.mail import LINKS, LinkPurpose, MailKind, RetryPlan
from stores.mail.messages import Letterhead
from stores.mail.rendering import TEMPLATES, Templates
from stores.ports import Mail, MailRefused

ORIGIN = "https://search.hospital.example"
GIVEN = {
    "role": "doctor",
    "started_at": "2026-01-01 10:00 UTC",
    "ends_at": "2026-01-01 11:00 UTC",
    "username": "dr.house",
    "id": "01900000-0000-7000-8000-000000000000",
}


@pytest.mark.parametrize("kind", MailKind)
def test_every_kind_has_words(kind: MailKind) -> None:
    link = f"{ORIGIN}/account/x#token=abc-_9" if kind in LINKS else None
    words = Templates(ORIGIN).render(kind, GIVEN, link)
    assert words.subject
    assert len(words.subject) < 78
    assert words.text.count("\n\n") >= 1
    assert max(len(line) for line in words.text.splitlines() if line != link) <= 76
    assert "{{" not in words.text + words.html
    assert (f"\n{link}\n" in words.text, f'<a href="{link}">' in words.html) == (bool(link), bool(link))


def test_every_template_is_of_a_kind() -> None:
    assert {path.stem for path in TEMPLATES.glob("*.txt")} == {kind.value for kind in MailKind}


def test_what_is_filled_in_is_no_markup() -> None:
    words = Templates(ORIGIN).render(MailKind.ROLE_APPROVED, {"role": '<a href="//evil.example">'})
    assert '<a href="//evil' not in words.html
    assert "&lt;a href=" in words.html


def test_a_missing_parameter_is_an_error() -> None:
    with pytest.raises(UndefinedError):
        Templates(ORIGIN).render(MailKind.BREAK_GLASS, {})


def test_a33_no_header_holds_a_link() -> None:
    mail = Mail(
        "key", "a@example.com", "Set a new password", "https://x/#token=secret", "<p>token=secret</p>"
    )
    message = Letterhead("medsearch <no-reply@hospital.example>").message(mail)
    assert "secret" not in str(message.items())
    assert "secret" not in repr(mail)
    assert "secret" in message.as_string()


def test_a_subject_cannot_add_a_header() -> None:
    with pytest.raises(ValueError, match=r"linefeed|newline"):
        Letterhead("a@b.example").message(Mail("key", "a@b.example", "x\r\nBcc: c@d.example", ""))


@pytest.mark.parametrize(
    "address", ["", "a", "a@", "a@b.example, c@d.example", "a@b.example\nBcc: c@d.example"]
)
def test_a_mail_has_one_recipient(address: str) -> None:
    with pytest.raises(MailRefused):
        Letterhead("a@b.example").message(Mail("key", address, "s", "t"))


def test_waits_are_used_up_one_after_the_other() -> None:
    plan = RetryPlan((10, 60))
    assert [plan.wait(attempts) for attempts in (1, 2, 3, 4)] == [10, 60, None, None]


@pytest.mark.parametrize(
    ("purpose", "minutes"), [(LinkPurpose.RESET_PASSWORD, 30), (LinkPurpose.VERIFY_EMAIL, 1440)]
)
def test_links_end(purpose: LinkPurpose, minutes: int) -> None:
    assert purpose.life.total_seconds() == minutes * 60
