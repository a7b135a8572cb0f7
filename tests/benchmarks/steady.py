"""Send the prepared requests at a constant rate, whether or not the server keeps up, each once."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.benchmarks.wrk import LoadError
from tests.stand.load import Load
from tests.stand.sender import Order

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.benchmarks.rig import Rig

TURN_SECONDS: Final = 0.00025
"""Between looks at what is due and what was answered. It makes latencies longer by as much, never shorter,
and leaves the cores to the server, which a loop that wakes for every request does not."""


@contextmanager
def steady_load(rig: Rig, port: int, *, rate: float, seconds: float, first: int = 0) -> Iterator[Load]:
    """Send *rate* requests a second for *seconds*, starting now, from number *first* on."""
    count = round(rate * seconds)
    if first + count > rig.requests.count:
        raise LoadError(f"{rig.requests.count} requests are too few for {rate:.0f}/s over {seconds:.0f} s")
    order = Order(
        port=port,
        output=str(rig.fresh() / "records"),
        path=str(rig.requests.path),
        size=rig.requests.size,
        first=first,
        count=count,
        rate=rate,
        retries=0,
        turn_seconds=TURN_SECONDS,
    )
    load = Load(order)
    try:
        yield load
    finally:
        load.kill()
