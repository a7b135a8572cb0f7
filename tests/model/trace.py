"""Check that the recorded steps of edge processes follow the protocol in edge.pml.

edge_recording.py writes the traces. A trace can end at any step, because a process can be killed at any time.
An event is written as its checksum. The following list describes the steps and their fields. Every step has a
time `t`, which is used only to compare the steps of different processes.

* `hold` a *directory*, which is new or a dead process's; `release` all directories when the process ends;
* `write` *events* to a *segment*, `publish` *events* over a *channel*, `respond` to a number of *events*: one
  turn of the loop;
* `close` a *segment* that has *events*; begin to `prove` it if all of them are published;
* `read` *events* from the backlog (*segments* lists those read to their end), then `publish` them, `keep` an
  oversized *event*, or `fail` to keep it; `postpone` a *segment* with such a failure, or an unreadable one;
* `interrupt` the connection, after which *segments* wait again; `connect` to a queue with a known number of
  *members*, with or without publisher *confirms*; get a `report` on the members; `stop` publishing forever;
* `probe` the broker over a *channel* on which *sent* events precede the probe; the broker's `answer`; its
  `confirm` of a *tag*; `unlink` a proven *segment*;
* `adopt` *segments* of dead processes, each with its former and its current name.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.model.connection import Connection
from tests.model.host import demand, fields_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.model.host import Host

GRACE_SECONDS: Final = 5.0
IN_A_TURN: Final = {"publish", "close", "prove", "respond"}
"""The steps that may follow a write in the same turn. A segment is closed in a turn only if its flush failed.
In that case, no event of the turn gets a 200."""

AFTER_A_RELEASE: Final = IN_A_TURN | {"write", "hold"}
"""The steps that may follow a release. Before the journal is closed, the waiting events are written. In the
same turn of the loop, a due timer can still make the process hold a new directory and adopt the segments."""

TIMED: Final = {"hold", "release", "adopt"}
GIVING_UP: Final = {"close", "prove", "interrupt"}
"""The steps that may follow a report without a majority, if events were published over the connection."""


@dataclass
class _Segment:
    """A segment whose events are all published, and the time when the first probe after that was answered.

    `last_tag` is the number of events that were published on the connection when the segment was complete.
    """

    name: str
    last_tag: int
    answered_at: float | None = None


@dataclass
class EdgeProcess:
    """Determines which steps an edge process may take next."""

    host: Host
    process: str
    growing: str | None = None
    written: int = 0
    published: int = 0
    unanswered: list[int] = field(default_factory=list)
    to_publish: list[int] = field(default_factory=list)
    has_failed: bool = False
    closed: str | None = None
    finished: deque[str] = field(default_factory=deque)
    backlog: deque[str] = field(default_factory=deque)
    unproven: deque[_Segment] = field(default_factory=deque)
    connection: Connection = field(default_factory=Connection)
    must_give_up: bool = False
    is_connecting: bool = False
    is_stopped: bool = False
    is_released: bool = False
    probe: float | None = None
    covered: int = 0
    proven: deque[str] = field(default_factory=deque)
    names: set[str] = field(default_factory=set)
    torn: set[str] = field(default_factory=set)
    """Segments without events: writes to them failed but left bytes behind."""

    def take(self, step: Mapping[str, Any]) -> None:
        """Accept one step, or raise a TraceError."""
        kind, t = step["step"], step["t"]
        self.host.pass_time(self.process, t)
        demand(not self.is_released or kind in AFTER_A_RELEASE, "the process has released its journal")
        demand(not self.must_give_up or kind in GIVING_UP, "the queue has no majority")
        demand(self.is_connecting == (kind == "connect"), "a connection begins with an interruption")
        demand(not self.proven or kind == "unlink", "proven segments are not unlinked")
        demand(not self.unanswered or kind in IN_A_TURN, "a turn ends with its responses")
        is_read = bool(self.finished) and not self.to_publish
        ends = {"prove", "postpone"} if is_read else {"prove"}
        demand(not (self.closed or is_read) or kind in ends, "a published segment is not watched")
        getattr(self, f"_{kind}")(**fields_of(step), **({"t": t} if kind in TIMED else {}))

    def _hold(self, directory: str, t: float) -> None:
        demand(self.is_released or not self.is_stopped, "the process has not released its journal")
        self.host.hold(self.process, directory, t)
        if self.is_released:
            # The released segments belong to no process until a process, perhaps this one, adopts them.
            self.is_released, self.growing = False, None
            for segments in (self.backlog, self.unproven, self.names):
                segments.clear()

    def _release(self, t: float) -> None:
        demand(self.is_stopped, "publishing has not ended")
        self.host.release(self.process, t)
        self.is_released = True

    def _write(self, segment: str, events: list[int]) -> None:
        if self.growing is None:
            demand(self.host.owns(self.process, segment), "the process does not hold the directory")
            demand(segment not in self.names, "the segment is closed")
            self.names.add(segment)
            self.growing, self.written, self.published = segment, 0, 0
        demand(segment == self.growing, "another segment is growing")
        self.written += len(events)
        self.unanswered = events

    def _publish(self, events: list[int], channel: int) -> None:
        self.connection.demand_open(channel)
        self.connection.tags += len(events)
        if self.unanswered:
            demand(events == self.unanswered, "a turn publishes what it wrote")
            self.published += len(events)
            demand(self.published == self.written, "the segment is published in part")
        else:
            self._settle(events)

    def _settle(self, events: list[int]) -> None:
        demand(self.to_publish[: len(events)] == events, "the events were neither written nor read")
        del self.to_publish[: len(events)]

    def _respond(self, events: int) -> None:
        demand(self.unanswered, "no turn is open")
        answerable = len(self.unanswered) if self.growing else 0
        demand(events <= answerable, "an event is answered that is not durable")
        self.unanswered = []

    def _close(self, segment: str, events: int) -> None:
        if self.growing is None:
            demand(not events and segment not in self.names, "no segment is growing")
            self.names.add(segment)
            self.torn.add(segment)
            self.backlog.append(segment)
            return
        demand(segment == self.growing and events == self.written, "the segment has other events")
        demand(self.published in {0, self.written}, "the segment is published in part")
        self.growing = None
        if self.published:
            self.closed = segment
        else:
            self.backlog.append(segment)

    def _prove(self, segment: str) -> None:
        if self.closed is not None:
            demand(segment == self.closed, "another segment was closed")
            self.closed = None
        elif segment in self.torn and segment in self.backlog:
            self.backlog.remove(segment)
        else:
            demand(not self.unanswered, "a turn ends with its responses")
            demand(self.finished and segment == self.finished[0], "the segment is not read to its end")
            demand(not self.to_publish and not self.has_failed, "events of the segment are not published")
            self.finished.popleft()
        self.unproven.append(_Segment(segment, self.connection.tags))

    def _keep(self, event: int) -> None:
        self._settle([event])

    def _fail(self, event: int) -> None:
        self._settle([event])
        self.has_failed = True

    def _postpone(self, segment: str) -> None:
        if self.finished:
            demand(segment == self.finished[0] and self.has_failed, "the segment can be proven")
            self.backlog.append(self.finished.popleft())
            self.has_failed = False
        else:
            demand(segment in self.backlog, "the segment does not wait")

    def _read(self, events: list[int], segments: list[str]) -> None:
        demand(not self.to_publish, "the events read before are not published")
        for segment in segments:
            demand(segment in self.backlog, "the segment does not wait")
            self.backlog.remove(segment)
            self.finished.append(segment)
        demand(self.backlog or segments, "there is no backlog")
        self.to_publish = [*events]

    def _connect(self, at: float, members: int, address: int | None, *, confirms: bool) -> None:
        self.is_connecting = False
        self.connection = Connection(
            is_open=True,
            confirms=confirms,
            connected_at=at,
            address=address,
            members=members,
            channel=self.connection.channel,
            is_new=True,
        )

    def _report(self, **fields: Any) -> None:
        self.must_give_up = self.connection.take_report(**fields)

    def _stop(self) -> None:
        demand(not self.is_stopped, "the connection is closed for good")
        self.is_stopped = True
        self.connection.is_open, self.probe = False, None

    def _confirm(self, tag: int, *, multiple: bool) -> None:
        self.connection.confirm(tag, multiple=multiple)

    def _probe(self, at: float, channel: int, sent: int) -> None:
        demand(self.probe is None, "a probe is on its way")
        self.connection.demand_open(channel)
        demand(sent == self.connection.tags, "published events do not precede the probe")
        self.probe, self.covered = at, len(self.unproven)

    def _answer(self, at: float) -> None:
        demand(self.probe is not None, "no probe is on its way")
        until = self.connection.known_until(self.probe or at)
        if self.connection.confirms:
            while self.unproven and self.unproven[0].last_tag <= self.connection.confirmed_up_to:
                self.proven.append(self.unproven.popleft().name)
            self.covered = 0
        for segment in list(self.unproven)[: self.covered]:
            if segment.answered_at is None:
                segment.answered_at = at
            elif until - segment.answered_at >= GRACE_SECONDS:
                self.proven.append(self.unproven.popleft().name)
        self.probe = None

    def _unlink(self, segment: str) -> None:
        demand(self.proven and self.proven[0] == segment, "the segment is not proven")
        self.proven.popleft()

    def _interrupt(self, segments: list[str]) -> None:
        demand(segments == [segment.name for segment in self.unproven], "other segments are unproven")
        demand(not self.growing or not self.published, "the growing segment is not closed")
        self.backlog.extendleft(reversed([*segments, *self.finished]))
        self.unproven.clear()
        self.finished.clear()
        self.to_publish, self.probe, self.has_failed = [], None, False
        demand(not self.is_stopped, "the connection is closed for good")
        self.is_connecting = not self.connection.is_open
        self.connection.is_open = self.must_give_up = False

    def _adopt(self, segments: list[list[str]], t: float) -> None:
        names = [name for _, name in segments]
        demand(names and self.names.isdisjoint(names), "the segments are known")
        for former, name in segments:
            demand(self.host.owns(self.process, name), "the process does not hold the directory")
            if former != name:
                self.host.adopt(self.process, former, t)
        self.names.update(names)
        self.backlog.extend(names)
