"""Decide from the management API's reports whether a majority of the events queue's members is online.

Without publisher confirms, RabbitMQ silently drops events while a quorum queue has no majority, but still
answers probes (docs/decisions/0020-majority-seen.md). On a cluster, the edge therefore publishes events and
deletes segments only if a report has shown a majority.
"""

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from messaging.log import logger
from webhook_api.backpressure import QueueReport
from webhook_api.journal import replace_file

FRESH_SECONDS: Final = 10.0
"""How long a report of a majority stays valid: long enough for one or two of the next polls to time out."""

NEVER: Final = float("-inf")

MEMBERS_NAME: Final = "queue-members"
"""File in the state directory that stores the last reported number of members, and the number of brokers."""

PATIENCE_SECONDS: Final = 10.0
"""How long a cluster may take to answer a probe, or a new connection may wait for a reported majority."""

LONE_PATIENCE_SECONDS: Final = 120.0
"""How long a single broker without a reported alarm may take to answer a probe before we give up waiting."""


@dataclass(frozen=True, slots=True)
class Majority:
    """The state of the queue's members, as known for the current connection. Times are monotonic seconds.

    `members` is the last reported number of nodes that hold the queue; a single broker (1) needs no majority.
    `address` is the index of the management address that reports for this connection; None means any.
    `connected_at` is the time when the connection was made. `seen_at` is the time when the last report that
    showed a majority was requested; NEVER if there was none on this connection.
    """

    members: int
    address: int | None = None
    connected_at: float = NEVER
    seen_at: float = NEVER

    def connect(self, now: float, address: int | None) -> Self:
        """Return the state for a new connection; earlier reports prove nothing about its channel."""
        return replace(self, address=address, connected_at=now, seen_at=NEVER)

    def update(self, report: QueueReport) -> Self:
        """Return the state after a report. A lost majority takes effect at once.

        If the leader is not among the online members, an election is in progress. The report then does not
        renew the majority, but the connection is kept until the last report of a majority is too old.
        """
        members = report.members
        if members is None or self.address not in {None, report.address}:
            # Ignore the report of another node, which might be on the other side of a partition.
            return self
        if not members.has_majority:
            return replace(self, members=members.total, seen_at=NEVER)
        if not members.has_leader or report.asked_at <= self.connected_at:
            return replace(self, members=members.total)
        return replace(self, members=members.total, seen_at=report.asked_at)

    def is_present(self, now: float) -> bool:
        """Return whether events may be published now."""
        return self.members <= 1 or now - self.seen_at <= FRESH_SECONDS


class MajorityWatch:
    """Decides whether events may be published on the current connection.

    Several *brokers* are assumed to be a cluster until the management API reports otherwise; the last report
    is stored in *directory*. If *management_addresses* equals *brokers*, each management address reports for
    the broker with the same index. *is_needed* is False with publisher confirms or without a management API.
    """

    def __init__(self, directory: Path, *, brokers: int, management_addresses: int, is_needed: bool) -> None:
        self._path = directory / MEMBERS_NAME
        self._is_paired = management_addresses == brokers
        self._is_needed = is_needed
        self._brokers, self._remembered = brokers, _read(self._path)
        members, addresses = self._remembered or (brokers, brokers)
        # If the number of addresses has changed, a single broker might have become a cluster.
        self._known = Majority(members if addresses == brokers else max(members, brokers))
        self._was_present = not self._is_cluster

    @property
    def address(self) -> int | None:
        """The management address that reports for the current connection; None if any address may."""
        return self._known.address

    @property
    def probe_patience(self) -> float:
        """How many seconds to wait for the answer to a probe."""
        return PATIENCE_SECONDS if self._is_cluster else LONE_PATIENCE_SECONDS

    @property
    def _is_cluster(self) -> bool:
        return self._is_needed and self._known.members > 1

    def on_connected(self, now: float, node: int) -> None:
        """Called when a connection is ready; *node* is the index of its broker's address."""
        self._known = self._known.connect(now, node if self._is_paired else None)
        # Do not log a majority as lost if this connection has not seen one yet.
        self._was_present = not self._is_cluster

    def on_report(self, report: QueueReport) -> None:
        """Update the state from a report of the management API."""
        self._known = self._known.update(report)
        if self._remembered != (self._known.members, self._brokers):
            self._remembered = self._known.members, self._brokers
            # All processes of the host write this file, with the same reported number.
            with suppress(OSError):
                replace_file(self._path, b"%d %d\n" % self._remembered)

    def is_present(self, now: float) -> bool:
        """Return whether events may be published now; log each change of the result."""
        is_present = not self._is_needed or self._known.is_present(now)
        was_present, self._was_present = self._was_present, is_present
        if is_present and not was_present:
            logger().info("majority_seen", members=self._known.members)
        elif was_present and not is_present:
            consequence = "events wait in the journal until the queue has a majority again"
            logger().warning("majority_lost", members=self._known.members, consequence=consequence)
        return is_present

    def is_overdue(self, now: float) -> bool:
        """Return whether the current connection's time limit for showing a majority has passed."""
        return now - self._known.connected_at > PATIENCE_SECONDS

    def seen_until(self, now: float) -> float:
        """Return the last time at which the queue is known to have had a majority, for this connection."""
        return self._known.seen_at if self._is_cluster else now

    def seen_age(self, now: float) -> float | None:
        """Return how many seconds ago a majority was reported; None if it never was or none is needed."""
        return now - self._known.seen_at if self._is_cluster and self._known.seen_at != NEVER else None


def _read(path: Path) -> tuple[int, int] | None:
    """Return the stored numbers of members and of broker addresses; None if there are none."""
    try:
        members, addresses = map(int, path.read_text(encoding="ascii").split())
    except (OSError, ValueError):
        return None
    return members, addresses
