"""Decide whether the events queue has a majority to publish to, from what the management API tells.

Without publisher confirms RabbitMQ drops events in silence while a quorum queue has no majority, and answers
the barrier's probes all the same (docs/decisions/0020-majority-seen.md). So on a cluster events go out, and
segments are let go of, only on the word of a report that saw a majority.

Reports in, decisions out: nothing here waits, sends or knows the time.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from webhook_api.backpressure import QueueReport

FRESH_SECONDS: Final = 10.0
"""How long a majority is believed in without another look: some polls, of which one or two may time out."""

NEVER: Final = float("-inf")


@dataclass(frozen=True, slots=True)
class Majority:
    """What is known of the queue's members, for the present connection.

    Args:
        members: Nodes that hold the queue, as last told; 1 on a lone broker, which needs no majority.
        address: The management address whose word counts for this connection; None for any.
        connected_at: When the connection was made, monotonic seconds.
        seen_at: When a report that saw a majority was asked for; NEVER without one since the connection
            was made.
    """

    members: int
    address: int | None = None
    connected_at: float = NEVER
    seen_at: float = NEVER

    def connected(self, now: float, address: int | None) -> Majority:
        """Start over with a new connection: what was seen before it says nothing of its channel."""
        return replace(self, address=address, connected_at=now, seen_at=NEVER)

    def told(self, report: QueueReport) -> Majority:
        """Take in a report.

        A lost majority counts at once. A leader that is not among the members online is an election: it
        refreshes nothing, and is no reason to give the connection up before the last look is too old.
        """
        members = report.members
        if members is None or self.address not in {None, report.address}:
            # Another node's view says nothing: that node may be on the other side of a partition.
            return self
        if not members.has_majority:
            return replace(self, members=members.total, seen_at=NEVER)
        if not members.has_leader or report.asked_at <= self.connected_at:
            return replace(self, members=members.total)
        return replace(self, members=members.total, seen_at=report.asked_at)

    def is_there(self, now: float) -> bool:
        """Tell whether events may be published now."""
        return self.members <= 1 or now - self.seen_at <= FRESH_SECONDS

    def seen_until(self, now: float) -> float:
        """Return the moment up to which this connection is known to have had a majority."""
        return now if self.members <= 1 else self.seen_at
