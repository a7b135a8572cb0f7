"""Check that the recorded steps of one edge process follow the protocol in edge.pml.

edge_recording.py writes the trace. A trace may end at any step, because a process may be killed at any time.
These are the steps and their fields:

* `write` *events* to a *segment*, `publish` *events*, `respond` to *events*: one turn of the loop;
* `close` a *segment* that has *events*, `prove` it if all of them are published;
* `read` *events* of the backlog (*segments* are read to their end), then `publish` them, or `fail` to set an
  oversized one aside; `postpone` a *segment* that had such an event, or that cannot be read;
* `probe` the broker, `answer` (seconds *at*, *majority_until*), `unlink` a *segment*;
* `interrupt` the connection, after which *segments* wait again; `adopt` *segments* of dead processes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GRACE_SECONDS: Final = 5.0
IN_A_TURN: Final = {"publish", "close", "prove", "respond"}
"""The steps that may follow a write in the same turn. A segment is closed in a turn only if its flush failed.
In that case, no event of the turn is answered 200."""


class TraceError(Exception):
    """A step does not follow the protocol. The message names the step."""


class Process(Protocol):
    """Determines which steps a process (an edge process or a worker) may take next."""

    def take(self, step: Mapping[str, Any]) -> None:
        """Accept one step, or raise a TraceError."""


class Acceptor:
    """Checks the steps of one process, by default an edge process. `steps` counts the accepted steps."""

    def __init__(self, process: Process | None = None) -> None:
        self._process = process or _EdgeProcess()
        self.steps = 0

    def accept(self, steps: Iterable[Mapping[str, Any]]) -> None:
        """Check further steps of the process.

        Raises:
            TraceError: The protocol does not allow a step at this point.
        """
        for step in steps:
            try:
                self._process.take(step)
            except TraceError as error:
                raise TraceError(f"step {self.steps + 1}, {dict(step)}: {error}") from None
            self.steps += 1


def check_trace(steps: Iterable[Mapping[str, Any]]) -> int:
    """Check the whole trace of an edge process, and return its number of steps; raise a TraceError."""
    acceptor = Acceptor()
    acceptor.accept(steps)
    return acceptor.steps


def demand(condition: object, reason: str) -> None:
    """Raise a TraceError unless the condition holds."""
    if not condition:
        raise TraceError(reason)


@dataclass
class _Segment:
    """A segment with only published events, and the time of the first answer after they were published."""

    name: str
    answered_at: float | None = None


@dataclass
class _EdgeProcess:
    """Determines which steps an edge process may take next."""

    growing: str | None = None
    written: int = 0
    published: int = 0
    unanswered: int = 0
    to_publish: int = 0
    has_failed: bool = False
    closed: str | None = None
    finished: deque[str] = field(default_factory=deque)
    backlog: deque[str] = field(default_factory=deque)
    unproven: deque[_Segment] = field(default_factory=deque)
    probe: float | None = None
    covered: int = 0
    proven: deque[str] = field(default_factory=deque)
    names: set[str] = field(default_factory=set)

    def take(self, step: Mapping[str, Any]) -> None:
        kind = step["step"]
        demand(not self.proven or kind == "unlink", "proven segments are not unlinked")
        demand(not self.unanswered or kind in IN_A_TURN, "a turn ends with its responses")
        is_read = bool(self.finished) and not self.to_publish
        ends = {"prove", "postpone"} if is_read else {"prove"}
        demand(not (self.closed or is_read) or kind in ends, "a published segment is not watched")
        getattr(self, f"_{kind}")(**{name: value for name, value in step.items() if name != "step"})

    def _write(self, segment: str, events: int) -> None:
        if self.growing is None:
            demand(segment not in self.names, "the segment is closed")
            self.names.add(segment)
            self.growing, self.written, self.published = segment, 0, 0
        demand(segment == self.growing, "another segment is growing")
        self.written += events
        self.unanswered = events

    def _publish(self, events: int) -> None:
        if self.unanswered:
            demand(events == self.unanswered, "a turn publishes what it wrote")
            self.published += events
            demand(self.published == self.written, "the segment is published in part")
        else:
            self.to_publish -= events
            demand(self.to_publish >= 0, "the events were neither written nor read")

    def _respond(self, events: int) -> None:
        answerable = self.unanswered if self.growing else 0
        demand(events <= answerable, "an event is answered that is not durable")
        self.unanswered = 0

    def _close(self, segment: str, events: int) -> None:
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
        else:
            demand(not self.unanswered, "a turn ends with its responses")
            demand(self.finished and segment == self.finished[0], "the segment is not read to its end")
            demand(not self.to_publish and not self.has_failed, "events of the segment are not published")
            self.finished.popleft()
        self.unproven.append(_Segment(segment))

    def _fail(self, events: int) -> None:
        self.to_publish -= events
        demand(self.to_publish >= 0, "the events were not read")
        self.has_failed = True

    def _postpone(self, segment: str) -> None:
        if self.finished:
            demand(segment == self.finished[0] and self.has_failed, "the segment can be proven")
            self.backlog.append(self.finished.popleft())
            self.has_failed = False
        else:
            demand(segment in self.backlog, "the segment does not wait")

    def _read(self, events: int, segments: list[str]) -> None:
        demand(not self.to_publish, "the events read before are not published")
        for segment in segments:
            demand(segment in self.backlog, "the segment does not wait")
            self.backlog.remove(segment)
            self.finished.append(segment)
        demand(self.backlog or segments, "there is no backlog")
        self.to_publish = events

    def _probe(self, at: float) -> None:
        demand(self.probe is None, "a probe is on its way")
        self.probe, self.covered = at, len(self.unproven)

    def _answer(self, at: float, majority_until: float) -> None:
        demand(self.probe is not None, "no probe is on its way")
        until = min(self.probe or at, majority_until)
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
        self.to_publish, self.probe, self.has_failed = 0, None, False

    def _adopt(self, segments: list[str]) -> None:
        demand(segments and self.names.isdisjoint(segments), "the segments are known")
        self.names.update(segments)
        self.backlog.extend(segments)
