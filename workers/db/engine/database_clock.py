"""Read the database's clock, which all hosts share."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from sqlalchemy import Engine, event

from messaging.errors import RetryLaterError
from workers.db.engine.transactions import transact

_NOW_US: Final = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint"


class DatabaseClock:
    """Returns the database's time, which is the same on every host even if a host's clock is wrong.

    Each new connection to PostgreSQL reads the server's time. Between two connections, the time advances with
    this host's monotonic clock. So reading the time needs no request, and setting the host's clock does
    not change the time. SQLite runs on this host, so for SQLite the host's clock is used.

    *host_us* returns this host's time in microseconds since the epoch. It is used until PostgreSQL answers.
    """

    def __init__(self, engine: Engine, host_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._is_host = engine.dialect.name != "postgresql"
        self._host_us = host_us
        self._ahead_us = host_us() - _monotonic_us()
        self.follow(engine)
        # Close the engine's older connections: they would be used first, and they have not set the clock.
        if not self._is_host:
            engine.dispose()
        with suppress(RetryLaterError):
            # Connect now, so that even the first rows are written with the database's time.
            transact(engine, lambda _: None)

    def follow(self, engine: Engine) -> None:
        """Also set the clock whenever *engine* opens a connection."""
        if not self._is_host:
            event.listen(engine, "connect", self._set)

    def now_us(self) -> int:
        """Return the time in microseconds since the epoch, UTC."""
        return self._host_us() if self._is_host else _monotonic_us() + self._ahead_us

    def monotonic(self) -> float:
        """Return how many seconds ago the host started."""
        return time.monotonic()

    def _set(self, driver_connection: Any, _record: Any) -> None:
        asked_us = _monotonic_us()
        with driver_connection.cursor() as cursor:
            [now_us] = cursor.execute(_NOW_US).fetchone()
        driver_connection.rollback()
        self._ahead_us = now_us - (asked_us + _monotonic_us()) // 2


def _monotonic_us() -> int:
    """Return how many microseconds ago the host started, including any time during which it was suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
