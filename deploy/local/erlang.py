"""What the nodes of one private cluster share: a cookie and a port mapper.

Erlang nodes find each other through epmd. The machine's own one, on 4369, belongs to whatever else
runs Erlang here, and it would outlive the tests; a private one on a free port is started with the
first node that needs it, and ended by its process id with the last.
"""

import os
import secrets
import shutil
import signal
from pathlib import Path

from deploy.local.ports import LOOPBACK, answers, free_port
from deploy.local.process import ServerProcess

COOKIE = ".erlang.cookie"


class PrivateErlang:
    """A cookie, and an epmd that lives as long as one of its nodes does."""

    def __init__(self, directory: Path) -> None:
        self.epmd_port = free_port()
        self._directory = directory
        stored = directory / COOKIE
        self.cookie = stored.read_text() if stored.exists() else secrets.token_hex(16)
        self._nodes: set[str] = set()
        self._epmd = ServerProcess("epmd", directory / "epmd.log")

    def acquire(self, node: str) -> None:
        """Run epmd for the node; returns when it answers."""
        self._nodes.add(node)
        if not self._epmd.is_running:
            command = [shutil.which("epmd") or "epmd", "-address", LOOPBACK, "-port", str(self.epmd_port)]
            self._epmd.launch(command, environment=os.environ, directory=self._directory)
            self._epmd.wait_until(lambda: answers(self.epmd_port), timeout=10.0)

    def release(self, node: str) -> None:
        """Forget the node; without nodes epmd ends."""
        self._nodes.discard(node)
        if not self._nodes:
            self._epmd.end(signal.SIGTERM, timeout=2.0)

    def write_cookie(self, home: Path) -> None:
        """Put the cookie where a node with this home directory looks for it."""
        path = home / COOKIE
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        path.write_text(self.cookie)
        # Erlang refuses a cookie that others could read.
        path.chmod(0o400)
