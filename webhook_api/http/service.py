"""Define what the server needs of the application that it serves, and what it grants senders."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from webhook_api.http.response import Response


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process grants its senders."""

    body_bytes: int
    connections: int
    request_seconds: float = 10.0
    """From first byte to last. nginx passes only complete requests on; this is for senders without nginx."""
    keepalive_seconds: float = 75.0
    """Of an idle connection; above nginx's 60 s, so that nginx is the one that closes it."""


@dataclass(frozen=True, slots=True)
class Service:
    """A WSGI application that lives on the worker's loop; made after the fork.

    Args:
        loop: The loop of this process.
        application: Answers a request without waiting for anything.
        limits: What this process grants its senders.
        is_inviting: Whether a sender of `Expect: 100-continue` should send its body. If not, the application
            is called without it.
        is_yielding: Whether senders should use another process: each response closes its connection, idle
            connections are closed, and new ones are left to the other processes.
        leave: Called once the port is released: other processes should not leave new connections to this one.
        find_failure: Makes the event of the request just answered durable, if its response is not deferred;
            returns the response to send instead if it is not durable.
        on_refused: Called with each response that is sent without calling the application.
        start: Called before the loop runs.
        stop: Called at the end with a function to call when everything is stopped.
    """

    loop: asyncio.AbstractEventLoop
    application: WSGIApplication
    limits: Limits
    is_inviting: Callable[[], bool]
    is_yielding: Callable[[], bool]
    leave: Callable[[], None]
    find_failure: Callable[[], Response | None]
    on_refused: Callable[[Response], object]
    start: Callable[[], None]
    stop: Callable[[Callable[[], None]], None]

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Call the application: gunicorn demands that `wsgi_app` is callable."""
        return self.application(environ, start_response)
