"""State how long requests may take during a fault, in seconds, with the reason for each bound.

The figures are from two cores: alone, and beside other stands that start servers. A bound is two to three
times the latter and applies to the own clock: time in which the edge or its sender waited for a processor is
not the product's fault.
"""

from __future__ import annotations

from typing import Final

HEALS: Final = 180.0
"""The longest wait for anything that must happen eventually. It is no promise: past it, something hangs. A
server alone starts in ten seconds, and several times slower beside others."""

CATCHES_UP: Final = 300.0
"""The longest wait for a backlog, whose length depends on the speed of the machine."""

USUAL_START_SECONDS: Final = 15.0
"""A stand's programs start in 4 s alone, and within this time beside two other stands. If they take longer
without a fault, this machine is slower than the one measured, and all bounds are stretched in proportion."""

UNFELT: Final = 0.5
UNFELT_STALL: Final = 2.5
"""A fault behind the edge does not slow the edge down. 99 of 100 requests took 0.02 s alone, 0.25 s beside
others; the longest took 0.1 s and 0.9 s."""

A_START: Final = 8.0
"""While the edge restarts, requests wait in its socket's backlog: one second alone, up to ten beside
others, of which seven were its own."""

TWO_STARTS: Final = 2 * A_START

A_REFUSAL: Final = 60.0
"""No event is accepted while the journal or the queue is full: until the broker has started and the
backlog shrinks, 30 s alone, or until the workers have processed 3,000 events."""

AN_OUTAGE: Final = 30.0
"""The edge is started after the servers. An attempt without an answer ends after ten seconds."""

AN_EPISODE: Final = 90.0
"""Processing 2,500 events takes 16 s at the configured rate, up to three times as long beside others."""
