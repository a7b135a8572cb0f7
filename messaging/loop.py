"""Provide the event loop that carries HTTP connections, the broker's connection and timers."""

from __future__ import annotations

from pika.adapters.select_connection import IOLoop

READ = IOLoop.READ
WRITE = IOLoop.WRITE


def new_loop() -> IOLoop:
    """Make a loop; call after the fork, an epoll descriptor must not be shared."""
    return IOLoop()
