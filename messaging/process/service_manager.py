"""Tell systemd that the process is ready, alive, stopping; do nothing where nobody listens.

Source: sd_notify(3).
"""

from __future__ import annotations

import os
import socket
from contextlib import suppress


class ServiceManager:
    """The other end of NOTIFY_SOCKET, if there is one."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")

    def ready(self) -> None:
        """Tell that the process does its work."""
        self._send("READY=1")

    def alive(self) -> None:
        """Tell that the main loop turns, for WatchdogSec."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """Tell that the process ends on purpose."""
        self._send("STOPPING=1")

    def _send(self, state: str) -> None:
        if not self._address:
            return
        # A leading @ stands for the zero byte of an abstract socket.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notice:
            notice.connect(address)
            notice.sendall(state.encode())
