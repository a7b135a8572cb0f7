"""Start a program with a listening socket passed to it, as systemd's socket activation does.

    activate.py DESCRIPTOR PROGRAM ARGUMENT...

LISTEN_PID must be the program's own process id, which is known only after the process has started.
"""

import os
import sys

FIRST_DESCRIPTOR = 3


def main() -> None:
    """Replace this process with the program."""
    descriptor = int(sys.argv[1])
    if descriptor == FIRST_DESCRIPTOR:
        os.set_inheritable(descriptor, True)
    else:
        os.dup2(descriptor, FIRST_DESCRIPTOR, inheritable=True)
    environment = {**os.environ, "LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1"}
    os.execve(sys.argv[2], sys.argv[2:], environment)  # noqa: S606  # the stand's own command


main()
