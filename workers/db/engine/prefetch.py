"""Do other work while PostgreSQL runs a statement, and limit the wait for its answer.

Without this, the thread that processes batches would be idle while it waits for an answer. A second thread
would not help, because the two threads would compete for the interpreter lock at each statement
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
"""How long to wait for PostgreSQL's answer: longer than the server's own limits. A frozen server does not
enforce them, and its operating system keeps the connection open, but another host in the URL may answer."""


class PrefetchingConnection(psycopg.Connection[Any]):
    """A connection to PostgreSQL that does other work while it waits for an answer.

    psycopg 3 waits only in `wait`. The generator *gen* sends the request, and yields the events to wait for.
    """

    prefetch: Callable[[], bool] | None = None
    """Does a little work, for less than a millisecond, and returns whether more work may be left."""

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the answer, and call `prefetch` meanwhile; raise OperationalError after ANSWER_SECONDS."""
        if self.prefetch is not None:
            gen = _prefetch_meanwhile(gen, self.fileno(), self.prefetch)
        try:
            return super().wait(gen, *arguments, **{"timeout": ANSWER_SECONDS, **options})
        except _WaitTimeout:
            self.pgconn.finish()
            raise


def prefetch_while_waiting(engine: Engine, prefetch: Callable[[], bool]) -> None:
    """Call *prefetch*, which must not raise, while *engine* waits for an answer; do nothing on SQLite."""
    if engine.dialect.name != "postgresql":
        return

    def on_checkout(connection: PrefetchingConnection, _record: Any, _proxy: Any) -> None:
        connection.prefetch = prefetch

    # Do not use the event "connect": the database's clock has already opened the pool's first connection.
    event.listen(engine, "checkout", on_checkout)


def _prefetch_meanwhile(gen: Any, fileno: int, prefetch: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Run psycopg's generator; call *prefetch* while it only waits to read, after the request was sent.

    The first statement of a transaction waits twice, because BEGIN is sent before this statement.
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
