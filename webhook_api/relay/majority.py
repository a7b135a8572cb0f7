"""Decide from the management API's reports whether the events queue has a majority to publish to.

Without publisher confirms, RabbitMQ silently drops events while a quorum queue has no majority, but still
answers probes (docs/decisions/0020-majority-seen.md). So on a cluster, the edge publishes events and deletes
segments only if a report has shown a majority.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from messaging.log import logger
from webhook_api.backpressure import QueueReport

FRESH_SECONDS: Final = 10.0
"""How long a report of a majority stays valid: several polls, of which one or two may time out."""

NEVER: Final = float("-inf")

MEMBERS_NAME: Final = "queue-members"
"""File in the state directory with the last reported number of the queue's members."""

PATIENCE_SECONDS: Final = 10.0
"""How long a cluster may take to answer a probe, or to show its majority to a new connection."""

LONE_PATIENCE_SECONDS: Final = 120.0
"""If a single broker without a reported alarm takes longer than this, it will never answer."""


@dataclass(frozen=True, slots=True)
class Majority:
    """The state of the queue's members, as known to the present connection.

    `members`: nodes that hold the queue, as last reported; 1 on a single broker, which needs no majority.
    `address`: the management address whose reports apply to this connection; None means any. `connected_at`:
    when the connection was made, monotonic seconds. `seen_at`: when the last report that showed a majority
    was requested; NEVER if no report has shown one since the connection was made.
    """

    members: int
    address: int | None = None
    connected_at: float = NEVER
    seen_at: float = NEVER

    def connect(self, now: float, address: int | None) -> Majority:
        """Start over with a new connection: earlier reports prove nothing about its channel."""
        return replace(self, address=address, connected_at=now, seen_at=NEVER)

    def update(self, report: QueueReport) -> Majority:
        """Return the state after a report. A lost majority takes effect at once.

        If the leader is not among the online members, an election is in progress: the report does not renew
        the majority, but the connection is kept until the last majority is too old.
        """
        members = report.members
        if members is None or self.address not in {None, report.address}:
            # Ignore another node's view: that node may be on the other side of a partition.
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
    """Decides whether to publish on the present connection; keeps the number of members across restarts.

    Several *brokers* are assumed to be a cluster until the management API reports otherwise. If there are as
    many *management_addresses* as brokers, each reports for its own broker. *is_needed* is False if publisher
    confirms prove the events, or there is no management API.
    """

    def __init__(
        self, state_directory: Path, *, brokers: int, management_addresses: int, is_needed: bool
    ) -> None:
        self._path = state_directory / MEMBERS_NAME
        self._is_paired = management_addresses == brokers
        self._is_needed = is_needed
        self._remembered = _read(self._path)
        self._known = Majority(members=self._remembered or brokers)
        self._was_present = True

    @property
    def address(self) -> int | None:
        """The management address that reports for the present connection; None if any of them may."""
        return self._known.address

    @property
    def probe_patience(self) -> float:
        """How long a probe's answer may take, in seconds."""
        return PATIENCE_SECONDS if self._is_cluster else LONE_PATIENCE_SECONDS

    @property
    def _is_cluster(self) -> bool:
        return self._is_needed and self._known.members > 1

    def on_connected(self, now: float, node: int) -> None:
        """Start over with a connection to *node*, the index of its address."""
        self._known = self._known.connect(now, node if self._is_paired else None)

    def on_report(self, report: QueueReport) -> None:
        """Use a report of the management API."""
        self._known = self._known.update(report)
        if self._known.members != self._remembered:
            self._remembered = self._known.members
            _write(self._path, self._known.members)

    def is_present(self, now: float) -> bool:
        """Return whether events may be published now; log a change."""
        is_present = not self._is_needed or self._known.is_present(now)
        was_present, self._was_present = self._was_present, is_present
        if is_present and not was_present:
            logger().info("majority_seen", members=self._known.members)
        elif was_present and not is_present:
            consequence = "events wait in the journal until the queue has a majority again"
            logger().warning("majority_lost", members=self._known.members, consequence=consequence)
        return is_present

    def is_overdue(self, now: float) -> bool:
        """Return whether the time in which the present connection had to show a majority is over."""
        return now - self._known.connected_at > PATIENCE_SECONDS

    def seen_until(self, now: float) -> float:
        """Return the last time at which this connection is known to have had a majority."""
        return self._known.seen_at if self._is_cluster else now

    def seen_age(self, now: float) -> float | None:
        """Return the seconds since a majority was seen; None if none is needed, or none was seen."""
        return now - self._known.seen_at if self._is_cluster and self._known.seen_at != NEVER else None


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _write(path: Path, members: int) -> None:
    """Replace the file atomically; every process of the host writes it, with the same reported number."""
    temporary = path.with_suffix(".new")
    with suppress(OSError):
        temporary.write_text(f"{members}\n", encoding="ascii")
        temporary.rename(path)
