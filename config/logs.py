"""Structured JSON logs for every process. Never PHI, query text, titles or file names.

Use `structlog.get_logger()`; what is bound to structlog's context variables (`request_id`, `document_id`) is
on every line. Records of other libraries keep their logger's name, level and message, in the same form.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from config.settings import LogSettings

QUIET = ("asyncio", "httpx", "httpcore", "uvicorn.access", "elastic_transport", "urllib3")
"""Loggers whose lines may carry addresses with query strings: of theirs only warnings are written."""


def configure_logging(settings: LogSettings, *, component: str, stream: TextIO | None = None) -> None:
    """Write one JSON object a line to `stream` (default: standard output), each with `component`."""

    def name_component(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event.setdefault("component", component)
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        name_component,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
        _exception_place,
    ]
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )
    handler = logging.StreamHandler(stream or sys.stdout)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.level.upper())
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[settings.level.upper()]
        ),
        cache_logger_on_first_use=False,
    )


def _exception_place(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Replace an exception by its class and the places it went through: its message may carry PHI."""
    given = event.pop("exc_info", None)
    if not given:
        return event
    error = given if isinstance(given, BaseException) else sys.exc_info()[1]
    if isinstance(given, tuple):
        error = given[1]
    if error is not None:
        event["error"] = type(error).__name__
        event["where"] = _frames(error)
    return event


def _frames(error: BaseException, limit: int = 12) -> list[str]:
    places = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        places.append(f"{'/'.join(code.co_filename.rsplit('/', 2)[1:])}:{trace.tb_lineno} {code.co_name}")
        trace = trace.tb_next
    return places[-limit:]
