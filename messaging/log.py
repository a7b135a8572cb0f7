"""Log to stdout: one JSON object per line or, on a terminal, readable text.

Event names are static snake_case. Fields contain identifiers, never bodies, tokens or personal data.
"""

import asyncio
import logging
import os
import sys
from typing import Any, TextIO

import structlog

LEVELS = ("debug", "info", "warning", "error")


def configure_logging(
    level: str, *, process: str, stream: TextIO | None = None, as_text: bool = False
) -> None:
    """Send the log lines of this process and of its libraries to one stream.

    *process* is a field of every line. If *as_text* is true, lines are readable text even without a terminal.
    """
    stream = stream or sys.stdout
    numeric = getattr(logging, level.upper())
    structlog.configure(
        processors=[*_shared_processors(), _renderer(as_text=as_text)],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(stream),
        # A cached logger would keep its old level after a reload.
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(library_formatter(as_text=as_text))
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)
    # pika logs a traceback for each failed connection attempt; our own code logs one line instead.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return a logger without bound fields."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound


def log_callback_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log an exception that a callback of an asyncio loop raised; the loop continues.

    asyncio puts the callback's arguments in parentheses; they can contain event data, so they are not logged.
    """
    reason = context["message"].partition("(")[0]
    logger().error("callback_failed", reason=reason, exc_info=context.get("exception"))


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _renderer(*, as_text: bool) -> Any:
    # `make run` and `make demo` set FORCE_COLOR if they run on a terminal.
    is_terminal = sys.stdout.isatty() or bool(os.environ.get("FORCE_COLOR"))
    if not (as_text or is_terminal):
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=is_terminal,
        # Show the event before the name of the process that logs it.
        sort_keys=False,
        # `format_exc_info` has already rendered tracebacks as text, so no richer formatter is needed.
        exception_formatter=structlog.dev.plain_traceback,
    )


def library_formatter(*, as_text: bool = False) -> logging.Formatter:
    """Return a formatter that renders the log lines of libraries, including gunicorn's, like our own."""
    formatter = structlog.stdlib.ProcessorFormatter
    return formatter(
        foreign_pre_chain=[*_shared_processors(), structlog.stdlib.add_logger_name],
        processors=[formatter.remove_processors_meta, _renderer(as_text=as_text)],
    )
