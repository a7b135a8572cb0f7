"""Connections to PostgreSQL that work while a statement runs, and that do not wait for ever.

The thread that processes batches has nothing to do while it waits for an answer; a second thread would
compete with it for the interpreter at each statement
(docs/decisions/0181-the-next-batch-is-read-meanwhile.md).
"""

import select
from collections.abc import Callable, Generator
from typing import Any, Final

import psycopg
from psycopg.errors import _WaitTimeout
from psycopg.waiting import WAIT_R
from sqlalchemy import Engine, event

ANSWER_SECONDS: Final = 40.0
"""Above every time limit of the server. A server that is frozen keeps none of them, and its operating system
keeps the connection alive; another host of the list may answer meanwhile."""


class PrefetchingConnection(psycopg.Connection[Any]):
    """A connection that works while it waits for an answer.

    psycopg 3 waits for the server in `wait` alone. Its argument is a generator that sends the request and
    yields what it waits for.
    """

    prefetch: Callable[[], bool] | None = None
    """Does a little work, some microseconds long, and returns whether there is more."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the answer, and work until it is there; raise OperationalError if there is none."""
        if self.prefetch is not None:
            gen = _prefetch_meanwhile(gen, self.fileno(), self.prefetch)
        try:
            return super().wait(gen, *arguments, **{"timeout": ANSWER_SECONDS, **options})
        except _WaitTimeout:
            self.pgconn.finish()
            raise


def prefetch_while_waiting(engine: Engine, prefetch: Callable[[], bool]) -> None:
    """Call *prefetch*, which raises nothing, while a connection of the engine waits; on SQLite none does."""
    if engine.dialect.name != "postgresql":
        return

    def on_checkout(connection: PrefetchingConnection, _record: Any, _proxy: Any) -> None:
        connection.prefetch = prefetch

    # Not at the connect: the clock has opened the pool's first connection already.
    event.listen(engine, "checkout", on_checkout)


def _prefetch_meanwhile(gen: Any, fileno: int, prefetch: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Run a generator of psycopg; whenever it waits for an answer alone, the request has been sent.

    The first statement of a transaction waits twice: BEGIN goes before it.
    """
    answer = select.poll()
    answer.register(fileno, select.POLLIN)
    try:
        state = next(gen)
        while True:
            if state == WAIT_R:
                while not answer.poll(0) and prefetch():
                    pass
            state = gen.send((yield state))
    except StopIteration as done:
        return done.value
