"""Track the information that an edge process has about its connection and about the queue's majority."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.model.host import demand


@dataclass
class Connection:
    """The information that a process has about its connection and the queue's members."""

    is_open: bool = False
    confirms: bool = False
    connected_at: float = float("-inf")
    address: int | None = None
    members: int = 1
    majority_at: float | None = None
    channel: int = 0
    is_new: bool = False
    tags: int = 0
    confirmed: set[int] = field(default_factory=set)
    confirmed_up_to: int = 0

    def demand_open(self, channel: int) -> None:
        """Raise a TraceError unless events may be published over *channel*, the connection's only one."""
        demand(self.is_open, "there is no connection")
        demand(
            self.members <= 1 or self.majority_at is not None, "no report of a majority since the connection"
        )
        demand(channel > self.channel if self.is_new else channel == self.channel, "it is another channel")
        self.channel, self.is_new = channel, False

    def take_report(
        self, at: float, address: int | None, members: int, *, majority: bool, leader: bool
    ) -> bool:
        """Record a report; return whether the process must give up its connection for lack of a majority."""
        if self.address not in {None, address}:
            return False
        self.members = members
        if not majority:
            self.majority_at = None
        elif leader and at > self.connected_at:
            self.majority_at = at
        return self.is_open and members > 1 and self.majority_at is None and self.tags > 0

    def confirm(self, tag: int, *, multiple: bool) -> None:
        """Record that the broker has the event with this tag and, if *multiple*, all with lower tags."""
        demand(self.is_open and self.confirms and tag <= self.tags, "no such event was published")
        demand(tag > self.confirmed_up_to and tag not in self.confirmed, "the tag was confirmed before")
        self.confirmed.update(range(self.confirmed_up_to + 1, tag) if multiple else (), [tag])
        while self.confirmed_up_to + 1 in self.confirmed:
            self.confirmed_up_to += 1
            self.confirmed.remove(self.confirmed_up_to)

    def known_until(self, probed_at: float) -> float:
        """Return the latest time at which an answered probe shows that the leader and majority were alive."""
        if self.members <= 1:
            return probed_at
        return min(probed_at, float("-inf") if self.majority_at is None else self.majority_at)
