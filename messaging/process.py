"""Integrate a worker process with systemd: notifications, the watchdog and the log."""

import faulthandler
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Final

from messaging.errors import ConfigurationError
from messaging.log import configure_logging, logger
from messaging.settings import Settings

FEEDS_PER_PATIENCE: Final = 10
"""Number of times to feed the watchdog within its time limit. More would be costly: each starts a thread."""


class ServiceManager:
    """Sends notifications to systemd, as described in sd_notify(3), if NOTIFY_SOCKET is set."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """Report that the process is ready to work."""
        self._send("READY=1")

    def alive(self) -> None:
        """Report that the loop is alive; without reports, systemd restarts the process after WatchdogSec."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Report that the process is stopping on purpose."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte that begins the name of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.connect(address)
            notice.sendall(state.encode())


class Watchdog:
    """Ends the process with status 1 if its loop or a piece of work hangs for *patience_seconds*.

    If a thread keeps the interpreter lock, e.g. in a C library or an endless regular expression, the loop and
    all signal handlers in Python stop. The standard library's watchdog is a thread in C, which still runs.
    Before exiting, it writes the stacks of all threads (file, line and function, without values) to stderr.
    """

    def __init__(self, patience_seconds: float) -> None:
        self._patience_seconds = patience_seconds
        self._fed_at: float | None = None
        self._deadline: float | None = None

    def feed(self) -> None:
        """Report that the loop is running (several times per *patience_seconds*); exit if work hangs."""
        now = time.monotonic()
        deadline = self._deadline
        if deadline is not None and now > deadline:
            consequence = "the process ends; its events are delivered again and processed one by one"
            logger().error("work_hangs", seconds=self._patience_seconds, consequence=consequence)
            sys.stdout.flush()
            faulthandler.dump_traceback()
            os._exit(1)
        if self._fed_at is None or now - self._fed_at > self._patience_seconds / FEEDS_PER_PATIENCE:
            self._fed_at = now
            faulthandler.dump_traceback_later(self._patience_seconds, exit=True)

    @contextmanager
    def limit(self) -> Iterator[None]:
        """Limit how long the `with` block takes, on one thread only; of nested limits, the outermost wins."""
        outer = self._deadline
        if outer is None:
            self._deadline = time.monotonic() + self._patience_seconds
        try:
            yield
        finally:
            self._deadline = outer

    def stop(self) -> None:
        """Stop the watchdog, so that it no longer ends the process."""
        faulthandler.cancel_dump_traceback_later()


def configure_process_log(process: str) -> None:
    """Configure the log from OM_LOG_LEVEL, now and on every SIGHUP, which would otherwise end the process.

    Raises ConfigurationError if OM_LOG_LEVEL is malformed.
    """

    def configure() -> None:
        configure_logging(Settings.from_environment().log_level, process=process)

    def reload() -> None:
        try:
            configure()
        except ConfigurationError as exc:
            logger().error("reload_refused", reason=str(exc), consequence="keeping the previous log level")
        else:
            logger().info("settings_reloaded")

    configure()
    # Reload on a separate thread, because the signal can interrupt code that is writing a log line.
    signal.signal(signal.SIGHUP, lambda *_: threading.Thread(target=reload).start())
