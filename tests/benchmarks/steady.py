"""Send each prepared request once: all at once, or at a constant rate even if the server falls behind."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.benchmarks.wrk import LoadError
from tests.stand.load import Load
from tests.stand.order import Order
from tests.stand.records import percentile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tests.benchmarks.events import RequestFile
    from tests.benchmarks.rig import Rig
    from tests.stand.records import Tried

TURN_SECONDS: Final = 0.00025
"""Seconds between two checks for due requests and for answers. A measured latency can be too long by this
time, but is never too short. A loop that woke for every request would leave the server less CPU time."""


@contextmanager
def steady_load(rig: Rig, port: int, *, rate: float, seconds: float, first: int = 0) -> Iterator[Load]:
    """Send *rate* requests per second for *seconds*, starting now with the request number *first*."""
    count = round(rate * seconds)
    if first + count > rig.requests.count:
        raise LoadError(f"{rig.requests.count} requests are too few for {rate:.0f}/s over {seconds:.0f} s")
    with _sender(rig, port, rig.requests, first=first, count=count, rate=rate) as load:
        yield load


def send_at_once(rig: Rig, port: int, requests: RequestFile, *, first: int, count: int) -> Sequence[Tried]:
    """Send *count* requests as fast as the server answers, and return all attempts after the last answer."""
    with _sender(rig, port, requests, first=first, count=count) as load:
        load.burst(count)
        return finished(load)


@contextmanager
def _sender(
    rig: Rig, port: int, requests: RequestFile, *, first: int, count: int, rate: float = 0.0
) -> Iterator[Load]:
    order = Order(
        port=port,
        output=str(rig.fresh() / "records"),
        path=str(requests.path),
        size=requests.size,
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


def finished(load: Load) -> Sequence[Tried]:
    """Wait until every request is sent and answered, and return all tries."""
    load.finish()
    return load.seen().tries


def check_answers(rig: Rig, scenario: str, tries: Sequence[Tried]) -> int:
    """Check that every try was answered with 200, and return how many were."""
    refused = sum(each.status != 200 for each in tries)
    rig.results.check(f"{scenario}: {refused} of {len(tries)} not answered 200", holds=not refused)
    return len(tries) - refused


def in_ms(seconds: Iterable[float], **percents: float) -> dict[str, float]:
    """Return the percentiles of *seconds* that *percents* names, in milliseconds (default: 50 and 99)."""
    ordered = sorted(seconds)
    wanted = percents or {"p50_ms": 50, "p99_ms": 99}
    return {name: percentile(ordered, percent) * 1e3 for name, percent in wanted.items()}
