"""Run pytest with servers that all of its processes share: `python -m tests.servers ARGUMENTS`."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence

from deploy.local.process import ServerStartError
from tests.servers.disposable import servers


def main() -> None:
    """Start the servers, run pytest with the arguments and exit with its status."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        # Turn the signal into a clean exit, because an unclean exit would leave servers running.
        signal.signal(number, lambda received, _: sys.exit(128 + received))
    try:
        with servers() as started:
            print(f"Testing against {started.description}", flush=True)
            status = _run_pytest(sys.argv[1:], {**os.environ, **started.environment()})
    except ServerStartError as error:
        sys.exit(str(error))
    sys.exit(status)


def _run_pytest(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Run pytest; if this process receives a signal to stop, let pytest tear down its own fixtures."""
    pytest = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], env=dict(environment))
    # Ctrl-C reaches pytest without our help, since pytest also belongs to the terminal's foreground group.
    signal.signal(signal.SIGINT, lambda *_: None)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: pytest.send_signal(signal.SIGINT))
    return pytest.wait()


if __name__ == "__main__":
    main()
