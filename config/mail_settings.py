"""Settings of what leaves the platform: mail, and requests to other servers."""

from __future__ import annotations

from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from config.section import Port, Seconds, Section


class MailSettings(Section):
    """Outgoing mail. Without a host, mails are written to a folder."""

    host: str | None = Field(None, description="SMTP server. Without one, mails land in a folder.")
    port: Port = Field(587, description="Port of the SMTP server.")
    tls: Literal["starttls", "implicit", "none"] = Field(
        "starttls", description="How the connection is protected: starttls, implicit (port 465), none."
    )
    username: str | None = Field(
        None, description="Account at the SMTP server; its password is the secret 'smtp'."
    )
    sender: str | None = Field(
        None, description="From address. Default: no-reply at the host of the address that users see."
    )
    folder: Path | None = Field(
        None, description="Where mails land when there is no host. Default: mail/ in the data folder."
    )
    timeout_seconds: Seconds = Field(20, description="Longest wait for the SMTP server.")
    retry_seconds: tuple[Seconds, ...] = Field(
        (10, 60, 300, 900, 1800, 3600, 7200, 14400, 28800),
        description="Waits before the next attempts to send a mail; after the last one it is given up.",
    )

    @field_validator("sender")
    @classmethod
    def _one_address(cls, value: str | None) -> str | None:
        if value is not None and ("@" not in parseaddr(value)[1] or not value.isprintable()):
            raise ValueError("must be one address, such as medsearch <no-reply@hospital.example>")
        return value

    @field_validator("folder")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value if value is None else value.expanduser().absolute()

    @model_validator(mode="after")
    def _no_password_in_clear(self) -> MailSettings:
        if self.username and self.tls == "none":
            raise ValueError("tls must not be none with a username: the password would travel in clear")
        return self


class OutboundSettings(Section):
    """Requests that the platform makes to addresses that somebody set (login providers, later webhooks)."""

    allowed_networks: tuple[str, ...] = Field(
        (),
        description="Private networks that may be asked all the same, such as 10.1.2.0/24; public ones always may.",
    )

    @field_validator("allowed_networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            ip_network(network)
        return value
