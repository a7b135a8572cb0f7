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
    """The database's time, the same for every host, however wrong the host's clock is.

    Each new connection to PostgreSQL reads the server's time. Between two connections the time advances with
    this host's monotonic clock, so that reading it costs no request, and a step of the host's clock has no
    influence. SQLite runs on this host and uses its clock.

    *host_us* returns this host's time, microseconds since the epoch, also used until PostgreSQL answers.
    """

    def __init__(self, engine: Engine, host_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self._is_host = engine.dialect.name != "postgresql"
        self._host_us = host_us
        self._ahead_us = host_us() - _monotonic_us()
        self.follow(engine)
        # Close older connections of the engine: they would be used first, and they do not set the clock.
        if not self._is_host:
            engine.dispose()
        with suppress(RetryLaterError):
            # Connect now, so that the first rows have the database's time, too.
            transact(engine, lambda _: None)

    def follow(self, engine: Engine) -> None:
        """Also set the clock at each new connection of this engine."""
        if not self._is_host:
            event.listen(engine, "connect", self._set)

    def now_us(self) -> int:
        """Return microseconds since the epoch, UTC."""
        return self._host_us() if self._is_host else _monotonic_us() + self._ahead_us

    def monotonic(self) -> float:
        """Return seconds since the host started."""
        return time.monotonic()

    def _set(self, driver_connection: Any, _record: Any) -> None:
        asked_us = _monotonic_us()
        with driver_connection.cursor() as cursor:
            [now_us] = cursor.execute(_NOW_US).fetchone()
        driver_connection.rollback()
        self._ahead_us = now_us - (asked_us + _monotonic_us()) // 2


def _monotonic_us() -> int:
    """Return microseconds since the host started, including the time in which it was suspended."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
