"""Define the errors raised on purpose: each is an instruction to the code that catches it."""

EX_CONFIG = 78
"""The exit status of a refusal to start (sysexits.h), at which systemd does not restart."""


class OpenMessagingError(Exception):
    """Everything raised on purpose; anything else is a bug."""


class ConfigurationError(OpenMessagingError):
    """Refuse to start and exit 78; the text names the variable and its expected form."""


class BrokerUnavailableError(OpenMessagingError):
    """Reconnect and send the last messages again: it is unknown whether they arrived."""


class RejectedEventError(OpenMessagingError):
    """Dead-letter the event now: a retry cannot help.

    *code* is stable, for tables and alarms. *reason* names the field at fault, never its value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RetryLaterError(OpenMessagingError):
    """Keep the events, wait *delay* seconds, and try the same again: the events are not at fault.

    *reason*: what is unavailable, for the log.
    """

    def __init__(self, reason: str, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class StatementRefusedError(RetryLaterError):
    """Try the statement's items one by one: it fails because of one of them, or for every item.

    The connection works, but the database refuses the statement: no such table, no permission. If a statement
    without items fails, keep the events and try the same again.
    """
