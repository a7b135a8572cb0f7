"""Wait for a condition for a limited time, or work in a thread for the duration of a `with` block."""

import threading
import time
from contextlib import contextmanager

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 30.0
"""The time after which a test fails if its condition is not met, long enough for a busy machine."""


def wait_until(is_true, seconds=PATIENCE_SECONDS, words="the condition never held"):
    """Block until *is_true* returns a true value, and return that value; *words* describe the condition."""
    deadline = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain: {words}"
        time.sleep(LOOK_SECONDS)
    return found


@contextmanager
def working(work):
    """Call *work* in a thread with an event, which is set at the end of the `with` block."""
    stopped = threading.Event()
    thread = threading.Thread(target=work, args=(stopped,))
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
