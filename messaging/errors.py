"""Define the errors raised on purpose: each is an instruction to the code that catches it."""

EX_CONFIG = 78
"""The exit status of a refusal to start (sysexits.h), at which systemd does not restart."""


class OpenMessagingError(Exception):
    """Everything raised on purpose; anything else is a bug."""


class ConfigurationError(OpenMessagingError):
    """Refuse to start and exit 78; the text names the variable and its expected form."""


class BrokerUnavailableError(OpenMessagingError):
    """The fate of what was sent last is unknown: reconnect, send it again."""


class RejectedEventError(OpenMessagingError):
    """Dead-letter the event now, no retry can help.

    *code* is stable, for tables and alarms. *reason* names the field at fault, never its value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RetryLaterError(OpenMessagingError):
    """Keep what you hold, wait *delay* seconds, try the same again: the fault is not the event's.

    *reason*: what is unavailable, for the log.
    """

    def __init__(self, reason: str, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class StatementRefusedError(RetryLaterError):
    """Try the items of the statement apart: it fails for one of them, or for any.

    The connection is there, but the database refuses the statement: no such table, no permission. If a
    statement without items fails, keep what you hold and try the same again.
    """
