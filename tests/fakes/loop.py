"""Provide an event loop whose clock jumps to the next timer, so a busy machine cannot change test results."""

import asyncio
import selectors


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: it moves the clock forward by the time for which the loop would wait."""

    now = 0.0

    def select(self, timeout=None):
        ready = super().select(0)
        if not ready and timeout:
            self.now += timeout
        return ready


class JumpingLoop(asyncio.SelectorEventLoop):
    """A loop that runs its timers in order without waiting for them."""

    def __init__(self):
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self):
        return self._jumping.now
