"""Say how long requests may take while something strikes, in seconds, and why so long.

Figures are of two cores: alone, and beside other stands that boot servers of their own. A bound is two to
three times the latter, and is held to the own clock: what the edge or its sender waited for a processor is
not the product's doing.
"""

from __future__ import annotations

from typing import Final

HEALS: Final = 180.0
"""How long anything is waited for that must come to be, soon or late: no promise, past it something hangs. A
server alone starts in ten seconds, and beside others in several times that."""

CATCHES_UP: Final = 300.0
"""The same for a backlog, which is as long as the machine was slow."""

USUAL_START_SECONDS: Final = 15.0
"""A stand's programs start in 4 s alone, and within this time beside two other stands. Where they take longer
without any fault, the machine is slower than the one that these figures are of: all bounds are stretched by
as much."""

UNFELT: Final = 0.5
UNFELT_STALL: Final = 2.5
"""What strikes behind the edge is not felt in it. 99 of 100 requests took 0.02 s alone, 0.25 s beside others;
the longest 0.1 s and 0.9 s."""

A_START: Final = 8.0
"""While the edge starts anew requests wait in its socket's backlog: one second alone, up to ten beside
others, of which seven were its own."""

TWO_STARTS: Final = 2 * A_START

A_REFUSAL: Final = 60.0
"""Nothing is taken while the journal is full, or the queue: until the broker has started and the backlog goes
down, 30 s alone, or until the workers have taken 3,000 events away."""

AN_OUTAGE: Final = 30.0
"""The edge is started after the servers. An attempt without an answer ends after ten seconds."""

AN_EPISODE: Final = 90.0
"""Taking 2,500 events away takes 16 s at the rate that is set, up to three times as long beside others."""
