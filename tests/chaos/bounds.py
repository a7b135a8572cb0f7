"""State how long requests may take during a fault, in seconds, with the reason for each bound.

The figures were measured on two cores, once with a single stand, and once while other stands were starting
servers. A bound is usually two to three times the figure measured beside other stands. It limits times on
OwnClock, which excludes the time that the edge or its sender spent waiting for a processor, because the
product does not cause that wait.
"""

from __future__ import annotations

from typing import Final

HEALS: Final = 180.0
"""The longest wait for anything that must happen eventually. It is not a promise: a longer wait means that
something hangs. A server starts within ten seconds on a single stand, and takes several times as long beside
other stands."""

CATCHES_UP: Final = 300.0
"""The longest wait for a backlog to be processed. How long this takes depends on the machine's speed."""

USUAL_START_SECONDS: Final = 15.0
"""How long a stand's programs take to start beside two other stands; on a single stand, they take 4 s. If
even the quickest start takes longer, the machine is slower than the one on which the bounds were measured,
and all bounds grow in proportion."""

UNFELT: Final = 0.5
UNFELT_STALL: Final = 2.5
"""The bounds for a fault behind the edge, which does not slow the edge down. On a single stand, 99 of 100
requests took at most 0.02 s, and the longest took 0.1 s. Beside other stands, they took 0.25 s and 0.9 s."""

A_START: Final = 8.0
"""The bound while the edge restarts and requests wait in its socket's backlog. They wait for one second on a
single stand, and for up to ten seconds beside other stands; OwnClock counts seven of these ten."""

TWO_STARTS: Final = 2 * A_START

A_REFUSAL: Final = 60.0
"""The bound while the journal or the queue is full and no event is accepted. A full journal has space again
once the broker has started and the backlog shrinks: after 30 s on a single stand. A full queue has space
again once the workers have processed 3,000 events."""

AN_OUTAGE: Final = 30.0
"""The bound when everything is stopped. The edge is started again only after the servers. A request that gets
no answer ends after ten seconds."""

AN_EPISODE: Final = 90.0
"""The bound for an episode of 429s, which lasts until 2,500 events are processed. The slowed workers take
16 s to process them, and up to three times as long beside other stands."""
