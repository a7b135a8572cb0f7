"""One run at a time on one data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.process import ServerStartError


@contextmanager
def only_one(path: Path) -> Iterator[None]:
    """Hold the lock file for a `with` block; the kernel lets go of it when the process dies.

    Raises:
        ServerStartError: another process holds it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise ServerStartError(
                f"It already runs here, as process {file.read().strip()}; stop that one first"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
