"""Name every error that is raised on purpose: each is an instruction to whoever catches it."""

from __future__ import annotations

EX_CONFIG = 78
"""The exit status of a refusal to start (sysexits.h), so that systemd is told not to restart."""


class OpenMessagingError(Exception):
    """Everything raised on purpose; anything else is a bug."""


class ConfigurationError(OpenMessagingError):
    """Refuse to start and exit 78; the text names the variable and what it should be."""


class BrokerUnavailableError(OpenMessagingError):
    """Nothing is known of what was sent last: reconnect, send it again."""


class RejectedEventError(OpenMessagingError):
    """Dead-letter the event now, no retry can help.

    Args:
        code: A stable word for the kind of fault, for tables and alarms.
        reason: What is wrong, naming the field; never its value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RetryLaterError(OpenMessagingError):
    """Keep what you hold, wait, try the same again: the fault is not the event's.

    Args:
        reason: What is away, for the log.
        delay: Seconds to wait before the next attempt.
    """

    def __init__(self, reason: str, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class StatementRefusedError(RetryLaterError):
    """Try the items of the statement apart: it fails for one of them, or for any.

    The connection is there, but the database refuses the statement: no such table, no permission. If a
    statement without items fails, keep what you hold and try the same again.
    """
