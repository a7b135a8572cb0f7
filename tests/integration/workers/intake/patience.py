"""Wait for what a worker process does."""

import time

PATIENCE_SECONDS = 30.0


def wait_until(condition):
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
