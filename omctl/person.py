"""Say who sits at the command line."""

from __future__ import annotations

import getpass
import os
import socket


def person() -> str:
    """Return the operating system's user, the one behind sudo if any, and the host."""
    try:
        user = os.environ.get("SUDO_USER") or getpass.getuser()
    except OSError:
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
