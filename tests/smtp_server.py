"""A real SMTP server as a process of its own: `python -m tests.smtp_server PORT FOLDER`.

Each message lands in FOLDER/N.json with its envelope. Recipients decide what happens: `refused@` is refused for
good, `later@` for now, `slow@` is answered after a while, `spam@` has its content refused.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_string
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any, cast

from aiosmtpd.smtp import SMTP

SLOW_SECONDS = 3.0


class Handler:
    """Answers by the recipient's name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = len(list(folder.glob("*.json")))

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: Any, session: Any, envelope: Any, address: str, options: Any
    ) -> str:
        name = address.partition("@")[0]
        if name == "refused":
            return "550 5.1.1 No such user"
        if name == "later":
            return "451 4.3.0 Try again"
        if name == "slow":
            await asyncio.sleep(SLOW_SECONDS)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - aiosmtpd's name
        if any(address.startswith("spam@") for address in envelope.rcpt_tos):
            return "554 5.7.1 Not wanted"
        self._count += 1
        text = envelope.content.decode("utf-8", "surrogateescape")
        taken = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "content": text}
        temporary = self._folder / f".{self._count}"
        temporary.write_text(json.dumps(taken))
        temporary.replace(self._folder / f"{self._count}.json")
        return "250 OK"


@dataclass
class SmtpServer:
    """The server's process, which can be stopped and started again on its port."""

    folder: Path
    port: int = field(default_factory=lambda: _free_port())  # noqa: PLW0108 - defined below
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "tests.smtp_server", str(self.port), str(self.folder)]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def taken(self) -> list[dict[str, Any]]:
        """Every message with its envelope, in the order of arrival."""
        files = sorted(self.folder.glob("*.json"), key=lambda file: int(file.stem))
        return [json.loads(file.read_text()) for file in files]

    def messages(self, recipient: str) -> list[EmailMessage]:
        return [
            cast("EmailMessage", message_from_string(one["content"], policy=default))
            for one in self.taken()
            if one["to"] == [recipient]
        ]


@contextmanager
def smtp_server(folder: Path) -> Iterator[SmtpServer]:
    server = SmtpServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def _serve(port: int, folder: Path) -> None:
    loop, handler = asyncio.get_running_loop(), Handler(folder)
    server = await loop.create_server(
        lambda: SMTP(handler, enable_SMTPUTF8=True, decode_data=False), "127.0.0.1", port
    )
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2])))
