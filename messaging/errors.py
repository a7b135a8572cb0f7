"""Define the errors that are raised on purpose; each is an instruction to the code that catches it."""

EX_CONFIG = 78
"""Exit status of a process that refuses to start (sysexits.h); systemd does not restart such a process."""


class OpenMessagingError(Exception):
    """The base class of all errors that are raised on purpose; any other exception is a bug."""


class ConfigurationError(OpenMessagingError):
    """Refuse to start, and exit with status 78; the text names the variable and its expected form."""


class BrokerUnavailableError(OpenMessagingError):
    """Reconnect and send the last messages again, because they might not have arrived."""


class RejectedEventError(OpenMessagingError):
    """Dead-letter the event now, because a retry cannot help.

    *code* never changes, because tables and alerts use it. *reason* names the faulty field, never its value.
    """

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class RetryLaterError(OpenMessagingError):
    """Keep the events, which are not at fault, and retry after *delay* seconds; *reason* states the cause."""

    def __init__(self, reason: str, delay: float = 1.0) -> None:
        super().__init__(reason)
        self.delay = delay


class StatementRefusedError(RetryLaterError):
    """Try the statement's items one by one, because a single item might have made the statement fail.

    The connection works, but the database refuses the statement, for example if a permission is missing. If a
    statement without items fails, keep the events and try the same statement again.
    """
