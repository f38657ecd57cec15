"""What is being waited for: a spinner on a terminal, a line for each change elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status


class Progress:
    """Callable with what is being waited for; use as a context. Silent after `stop`."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._spinner = Status("", console=console) if console.is_terminal else None
        self._started = time.monotonic()
        self._last = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def __call__(self, what: str) -> None:
        if what in ("", self._last):
            return
        self._last = what
        line = f"[{time.monotonic() - self._started:3.0f} s] waiting for {what}"
        if self._spinner is None:
            self._console.print(line, markup=False, highlight=False)
        else:
            self._spinner.start()
            self._spinner.update(line.replace("[", "\\["))

    def stop(self) -> None:
        """Take the spinner away."""
        if self._spinner is not None:
            self._spinner.stop()
