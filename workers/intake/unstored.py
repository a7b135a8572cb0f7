"""Set apart what is counted and not stored: typing, which is over before anybody could ask for it."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from workers.intake.outcome import Parsed
from workers.parsing import TYPING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from workers.handlers import Handler
    from workers.intake.outcome import Outcome
    from workers.parsing import Arrival

TRANSIENT: Final = frozenset({TYPING})


def unstored_types(handlers: Mapping[str, Collection[Handler]]) -> frozenset[str]:
    """Return the event types that need no record: an integrator's handler beside ours does."""
    return frozenset(each for each in TRANSIENT if len(handlers.get(each, ())) == 1)


def set_apart(
    outcomes: Iterable[Outcome], unstored: AbstractSet[str]
) -> tuple[Sequence[Arrival], Counter[str]]:
    """Return the arrivals that are stored, and how many there are of each type that is not."""
    arrivals: list[Arrival] = []
    counts: Counter[str] = Counter()
    for outcome in outcomes:
        for arrival in outcome.arrivals if isinstance(outcome, Parsed) else ():
            if arrival.event.event_type in unstored:
                counts[arrival.event.event_type] += 1
            else:
                arrivals.append(arrival)
    return arrivals, counts
