"""Normal forms of e-mail addresses and user names, so that no two accounts look alike."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from domain.errors import FieldError, Invalid


@dataclass(frozen=True, slots=True)
class Address:
    """`stored` is where mail goes, as the person wrote it; `key` is what must be unique."""

    stored: str
    key: str


def email_address(text: str, *, field: str = "email") -> Address:
    """Syntax by RFC 5321 and 6531, the domain by IDNA; raises `Invalid` naming `field`.

    The domain is stored as mail servers know it (`xn--…`). Case and compatibility variants, and both spellings of an
    international domain, share a key; `a+x@` stays another address than `a@`.
    """
    try:
        found = validate_email(text, check_deliverability=False, globally_deliverable=False)
    except EmailNotValidError:
        error = FieldError(field, "email", "This is not an e-mail address.")
        raise Invalid("The e-mail address is not valid.", errors=(error,)) from None
    domain = found.ascii_domain.lower()
    return Address(f"{found.local_part}@{domain}", f"{folded(found.local_part)}@{domain}")


def email_key(text: str) -> str:
    """The key of whatever was submitted, also when it is no address at all."""
    try:
        return email_address(text).key
    except Invalid:
        return folded(text)


def folded(text: str) -> str:
    """NFKC, case folded, and NFKC again, because folding may leave the normal form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
