"""Hold what is known of the events queue's majority, and remember how many members the queue has."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.relay.majority import NEVER, Majority

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_api.backpressure import QueueReport

MEMBERS_NAME: Final = "queue-members"
"""In the state directory: how many members the events queue had when the management API last told."""

PATIENCE_SECONDS: Final = 10.0
"""How long a cluster may take to answer a probe, or to show its majority to a new connection."""

LONE_PATIENCE_SECONDS: Final = 120.0
"""A lone broker's answer this late, with no alarm told, will not come."""


class MajorityWatch:
    """Whether the present connection may be published to.

    Args:
        state_directory: Where the number of members is remembered.
        brokers: How many addresses the broker has: more than one is taken for a cluster until the
            management API has told otherwise.
        management_addresses: How many there are. As many as brokers: each speaks for its own.
        is_needed: False where confirms prove the events, or nobody can be asked.
    """

    def __init__(
        self, state_directory: Path, *, brokers: int, management_addresses: int, is_needed: bool
    ) -> None:
        self._path = state_directory / MEMBERS_NAME
        self._is_paired = management_addresses == brokers
        self._is_needed = is_needed
        self._remembered = _read(self._path)
        self._known = Majority(members=self._remembered or brokers)
        self._was_there = True

    @property
    def address(self) -> int | None:
        """The management address that speaks for the present connection, if it has one of its own."""
        return self._known.address

    def connected(self, now: float, node: int) -> None:
        """Start over with a connection to *node*, counted from 0 as its address stands in the list."""
        self._known = self._known.connected(now, node if self._is_paired else None)

    def told(self, report: QueueReport) -> None:
        """Take in what the management API told."""
        self._known = self._known.told(report)
        if self._known.members != self._remembered:
            self._remembered = self._known.members
            _write(self._path, self._known.members)

    def is_there(self, now: float) -> bool:
        """Tell whether events may be published now."""
        return not self._is_needed or self._known.is_there(now)

    def is_overdue(self, now: float) -> bool:
        """Tell whether the present connection has had its time to show a majority."""
        return now - self._known.connected_at > PATIENCE_SECONDS

    def seen_until(self, now: float) -> float:
        """Return the moment up to which this connection is known to have had a majority."""
        return self._known.seen_until(now) if self._is_needed else now

    def seen_age(self, now: float) -> float | None:
        """Return how long ago a majority was seen; None where none is needed, or this connection saw none."""
        if not self._is_needed or self._known.members <= 1 or self._known.seen_at == NEVER:
            return None
        return now - self._known.seen_at

    @property
    def patience(self) -> float:
        """How long a probe's answer may take, in seconds."""
        is_cluster = self._is_needed and self._known.members > 1
        return PATIENCE_SECONDS if is_cluster else LONE_PATIENCE_SECONDS

    def tell_change(self, now: float) -> None:
        """Log that the majority was lost or is there again, once."""
        is_there = self.is_there(now)
        if is_there != self._was_there:
            self._was_there = is_there
            if is_there:
                logger().info("majority_seen", members=self._known.members)
            else:
                logger().warning(
                    "majority_lost",
                    members=self._known.members,
                    consequence="events wait in the journal until the queue has a majority again",
                )


def _read(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _write(path: Path, members: int) -> None:
    """Write it whole or not at all; every process of the host may, they are told the same."""
    temporary = path.with_suffix(".new")
    with suppress(OSError):
        temporary.write_text(f"{members}\n", encoding="ascii")
        temporary.rename(path)
