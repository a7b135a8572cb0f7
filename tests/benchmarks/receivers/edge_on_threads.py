"""Serve the edge on gunicorn's threads, with a separate thread for the broker: an alternative to one loop.

The view, the signature check, the journal and the publisher are those of the edge. A request's thread
journals the event under a lock and passes it to the loop's thread, which publishes it. No simpler hand-over
keeps pika in a single thread.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from webhook_api.app import Edge
from webhook_api.settings import EdgeSettings

if TYPE_CHECKING:
    from collections.abc import Callable

    from flask import Flask


def make_app() -> Flask:
    """Return the application of one gunicorn process. Call this function only after the fork."""
    edge = Edge(EdgeSettings.from_environment())
    relay, lock = edge.relay, threading.Lock()
    journal, accept_on_loop = relay._journal, relay.accept
    append, write = journal.append, journal.write
    kept: list[tuple[bytes, bytes]] = []

    def accept(properties: bytes, body: bytes) -> None:
        with lock:
            append(properties, body)
            write()
        edge.loop.call_soon_threadsafe(accept_on_loop, properties, body)

    def take_kept() -> list[tuple[bytes, bytes]]:
        events = kept.copy()
        kept.clear()
        return events

    journal.append = lambda *event: kept.append(event)  # type: ignore[method-assign]
    journal.write = take_kept  # type: ignore[method-assign]
    journal.rotate = _locked(lock, journal.rotate)  # type: ignore[method-assign]
    relay.accept = accept  # type: ignore[method-assign]
    relay.flush_now = lambda: True  # type: ignore[method-assign]
    edge.start()
    threading.Thread(target=edge.loop.run_forever, daemon=True).start()
    return edge.application


def _locked(lock: threading.Lock, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any) -> Any:
        with lock:
            return function(*arguments)

    return call
