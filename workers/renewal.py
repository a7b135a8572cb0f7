"""Start this process afresh in its own place, with its command, its environment and its process id.

For a process that has left a hanging thread behind: nothing else ends one. Its supervisor sees no exit.
"""

from __future__ import annotations

import os
import sys
from typing import NoReturn


def renew() -> NoReturn:
    """Begin again; what the process held must be settled."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])  # noqa: S606  # our own command, no shell
