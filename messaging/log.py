"""Log one JSON object per line on stdout, or one readable line; journald and the log shipper do the rest.

Event names are static snake_case; facts are fields; identifiers, never bodies, tokens or people.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any, TextIO

import structlog

if TYPE_CHECKING:
    import asyncio

LEVELS = ("debug", "info", "warning", "error")
JSON = "json"
FORMS = (JSON, "text")


def configure_logging(level: str, *, process: str, form: str = JSON, stream: TextIO | None = None) -> None:
    """Send this process's own lines and those of the libraries to one stream.

    Args:
        level: One of LEVELS; lines of a lower level are left out.
        process: The process's name, e.g. "edge" or "intake"; a field of every line.
        form: One of FORMS.
        stream: The standard output if None.
    """
    stream = stream or sys.stdout
    numeric = getattr(logging, level.upper())
    structlog.configure(
        processors=[*_shared_processors(), _renderer(form)],
        wrapper_class=structlog.make_filtering_bound_logger(numeric),
        logger_factory=structlog.WriteLoggerFactory(stream),
        # A logger that is kept would keep the level of its first line, whatever is reloaded.
        cache_logger_on_first_use=False,
    )
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(process=process)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(library_formatter(form))
    logging.basicConfig(handlers=[handler], level=max(numeric, logging.WARNING), force=True)
    # pika tells each failed connection attempt in tracebacks of its own; ours are one line each.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def logger() -> structlog.typing.FilteringBoundLogger:
    """Return the logger, bound to nothing yet."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger()
    return bound


def log_callback_failure(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what a callback of a loop raised; the loop goes on.

    asyncio's own line would show the callback with its arguments, and so bodies of events.
    """
    logger().error("callback_failed", reason=context["message"], exc_info=context.get("exception"))


def _shared_processors() -> list[Any]:
    return [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]


def _renderer(form: str) -> Any:
    if form == JSON:
        return structlog.processors.JSONRenderer()
    return structlog.dev.ConsoleRenderer(
        colors=sys.stdout.isatty(),
        # What became of an event is told before who tells it.
        sort_keys=False,
        # Tracebacks are text by then, like the other fields.
        exception_formatter=structlog.dev.plain_traceback,
    )


def library_formatter(form: str = JSON) -> logging.Formatter:
    """Return what renders the lines of libraries, gunicorn's among them, like our own."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[*_shared_processors(), structlog.stdlib.add_logger_name],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _renderer(form),
        ],
    )
