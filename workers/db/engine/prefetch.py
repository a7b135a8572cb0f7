"""Do other work while PostgreSQL runs a statement, and limit the wait for its answer.

Without prefetching, the thread that processes batches would be idle while it waits for an answer. A second
thread would not help, because the two threads would compete for the interpreter lock at every statement
(docs/decisions/0181-the-next-batch-is-read-meanwhile.md).
"""

import select
import time
from collections.abc import Callable, Generator
from typing import Any, Final

import psycopg
from psycopg.errors import ConnectionTimeout, _WaitTimeout
from psycopg.waiting import WAIT_R
from sqlalchemy import Engine, event

ANSWER_SECONDS: Final = 40.0
"""How long to wait for PostgreSQL's answer: longer than the server's own limits. A frozen server does not
enforce them, and its operating system keeps the connection open, but another host in the URL might answer."""

PROBE_SECONDS: Final = 10.0
"""How long a patient connection waits before it tests again whether the server is frozen."""


class PrefetchingConnection(psycopg.Connection[Any]):
    """A connection to PostgreSQL that does other work while it waits for an answer.

    psycopg 3 waits only in `wait`. The generator *gen* sends the request, and yields the events to wait for.
    """

    prefetch: Callable[[], bool] | None = None
    """Does a little work, for less than a millisecond, and returns whether more work might be left."""

    patience_seconds = 0.0  # how long to wait for an answer while the server is not frozen

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the answer while calling `prefetch`; raise OperationalError if no answer arrives."""
        ends = time.monotonic() + self.patience_seconds
        seconds = PROBE_SECONDS if self.patience_seconds else ANSWER_SECONDS
        if self.prefetch is not None:
            gen = _prefetch_meanwhile(gen, self.fileno(), self.prefetch)
        while True:
            try:
                return super().wait(gen, *arguments, **{"timeout": seconds, **options})
            except _WaitTimeout:
                if time.monotonic() >= ends or self._is_frozen():
                    self.pgconn.finish()
                    raise

    def _is_frozen(self) -> bool:
        """Return whether the server fails to react even to a new connection."""
        try:
            psycopg.connect(self.info.dsn, password=self.info.password).close()
        except psycopg.OperationalError as error:
            # Any other error is a reaction, for example that the server has too many connections.
            return isinstance(error, ConnectionTimeout)
        return False


class PatientConnection(PrefetchingConnection):
    """A connection whose statements may take a long time; no command's statement needs an hour."""

    patience_seconds = 3600.0


def prefetch_while_waiting(engine: Engine, prefetch: Callable[[], bool]) -> None:
    """Call *prefetch*, which must not raise, while *engine* waits for an answer; do nothing on SQLite."""
    if engine.dialect.name != "postgresql":
        return

    def on_checkout(connection: PrefetchingConnection, _record: Any, _proxy: Any) -> None:
        connection.prefetch = prefetch

    # Do not use the event "connect": the database's clock has already opened the pool's first connection.
    event.listen(engine, "checkout", on_checkout)


def _prefetch_meanwhile(gen: Any, fileno: int, prefetch: Callable[[], bool]) -> Generator[Any, Any, Any]:
    """Run psycopg's generator; once it has sent the request and only waits for an answer, call *prefetch*.

    The first statement of a transaction waits twice, because BEGIN is sent before it.
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
