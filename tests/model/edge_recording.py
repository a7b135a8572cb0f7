"""Record the steps of edge processes: calls to the journal, the proof and the link to the broker.

trace.py describes and checks the steps.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from zlib import crc32

import messaging.broker.publisher
from messaging.broker import Publisher
from tests.model.recording import follow, precede, surround
from webhook_api.answers import Answers
from webhook_api.journal import Backlog, Journal, process_directory
from webhook_api.journal.process_directory import ProcessDirectory
from webhook_api.relay import Barrier, BrokerLink, Confirms, MajorityWatch, Oversized

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def record_edge(
    write: Callable[[dict[str, Any]], None],
    process: Callable[[], int] = os.getpid,
    clock: Callable[[], float] = time.monotonic,
) -> Callable[[], None]:
    """Record the steps of every edge process in this interpreter.

    Args:
        write: A function that is called with each step.
        process: Returns the number of the process that takes the step.
        clock: Returns the time, in seconds, on a clock that all processes of the host share.

    Returns:
        A function that ends the recording.
    """
    recorder = _Recorder(write, process, clock)
    ends = ExitStack()
    for owner, name, note in (
        (Journal, "write", recorder.on_write),
        (Journal, "rotate", recorder.on_rotate),
        (Journal, "tend", recorder.on_tend),
        (Journal, "discard", recorder.on_discard),
        (ProcessDirectory, "_settle", recorder.on_settle),
        (process_directory, "list_segments", recorder.on_list_segments),
        (Backlog, "read", recorder.on_read),
        (Backlog, "postpone", recorder.on_postpone),
        (BrokerLink, "publish", recorder.on_publish),
        (Oversized, "keep", recorder.on_keep),
        (Answers, "close_turn", recorder.on_close_turn),
        (MajorityWatch, "on_connected", recorder.on_connected),
        (MajorityWatch, "on_report", recorder.on_report),
    ):
        ends.callback(follow(owner, name, note))
    for proof in (Barrier, Confirms):
        ends.callback(follow(proof, "add", recorder.on_add))
        ends.callback(follow(proof, "on_probe_sent", recorder.on_probe_sent))
        ends.callback(follow(proof, "on_probe_answered", recorder.on_probe_answered))
        ends.callback(follow(proof, "interrupt", recorder.on_interrupt))
    ends.callback(precede(Confirms, "confirm", recorder.on_confirm))
    # Record this step before the lock is freed, and thus before any other process adopts the segments.
    ends.callback(precede(Journal, "close", recorder.on_close))
    ends.callback(surround(ProcessDirectory, "_adopt_from", recorder.on_adopt))
    ends.callback(precede(Publisher, "stop", recorder.on_stop))
    ends.callback(precede(Publisher, "probe", recorder.on_probe))
    ends.callback(precede(messaging.broker.publisher, "_probe", recorder.on_declare))
    return ends.close


@dataclass
class _State:
    """The recorder's information about one process."""

    published: list[int] = field(default_factory=list)
    published_at: float = 0.0
    is_turn: bool = False
    confirms: bool = False
    publisher: Any = None
    probe_at: float | None = None
    channel: Any = None
    channels: int = 0
    listed: Iterator[Any] = field(default_factory=lambda: iter(()))
    moved: dict[str, str] = field(default_factory=dict)


class _Recorder:
    """Combines consecutive publishes into one step, because the republisher publishes one event at a time."""

    def __init__(
        self, write: Callable[[dict[str, Any]], None], process: Callable[[], int], clock: Callable[[], float]
    ) -> None:
        self._write = write
        self._process = process
        self._clock = clock
        self._states: dict[int, _State] = defaultdict(_State)

    @property
    def _state(self) -> _State:
        return self._states[self._process()]

    def _record(self, step: str, **fields: object) -> None:
        state = self._state
        if state.published:
            published, state.published = state.published, []
            channel = state.channels
            self._write({"step": "publish", "events": published, "channel": channel, "t": state.published_at})
        self._write({"step": step, **fields, "t": self._clock()})

    def _number_of(self, connection: Any, channel_number: int) -> int:
        """Return a channel's number. A process's channels are numbered in the order of their first use."""
        state = self._state
        if state.channel is None or state.channel[0] is not connection or state.channel[1] != channel_number:
            state.channel = connection, channel_number
            state.channels += 1
        return state.channels

    # The journal.

    def on_settle(self, directory: Any, *_: object) -> None:
        self._record("hold", directory=directory.name)

    def on_close(self, _journal: object) -> None:
        self._record("release")

    def on_write(self, events: list[Any], journal: Journal) -> None:
        if events:
            self._state.is_turn = True
            self._record("write", segment=_name_of(journal.active), events=[_sum(*event) for event in events])

    def on_rotate(self, closed: Any, *_: object) -> None:
        self._record("close", segment=_name_of(closed), events=closed.events)

    def on_list_segments(self, segments: list[Any], _directory: object) -> None:
        self._state.listed = iter([_name_of(segment) for segment in segments if segment.size])

    def on_adopt(self, original: Callable[..., Any], *arguments: Any) -> Iterator[Any]:
        """Remember the former name of each adopted segment. Empty segments are not adopted."""
        for segment in original(*arguments):
            state = self._state
            state.moved[_name_of(segment)] = next(state.listed)
            yield segment

    def on_tend(self, adopted: list[Any], *_: object) -> None:
        if adopted:
            moved, self._state.moved = self._state.moved, {}
            # Segments in a directory that the process has taken over keep their names.
            names = [_name_of(segment) for segment in adopted]
            self._record("adopt", segments=[[moved.get(name, name), name] for name in names])

    def on_discard(self, _result: None, _journal: object, segment: Any) -> None:
        self._record("unlink", segment=_name_of(segment))

    def on_read(self, result: tuple[list[Any], Any], *_: object) -> None:
        entries, finished = result
        if entries or finished:
            names = [] if finished is None else [_name_of(finished)]
            self._record(
                "read", events=[_sum(entry.properties, entry.body) for entry in entries], segments=names
            )

    def on_postpone(self, _result: None, _backlog: object, segment: Any) -> None:
        self._record("postpone", segment=_name_of(segment))

    # The connection.

    def on_connected(self, _result: None, watch: Any, now: float, _node: int) -> None:
        self._record(
            "connect",
            at=now,
            members=watch._known.members if watch._is_needed else 1,
            address=watch.address,
            confirms=self._state.confirms,
        )

    def on_report(self, _result: None, watch: Any, report: Any) -> None:
        if watch._is_needed and report.members is not None:
            members = report.members
            self._record(
                "report",
                at=report.asked_at,
                address=report.address,
                members=members.total,
                majority=members.has_majority,
                leader=members.has_leader,
            )

    def on_stop(self, _publisher: object) -> None:
        self._record("stop")

    def on_publish(self, _result: None, link: Any, events: list[Any]) -> None:
        publisher, state = link._publisher, self._state
        before = state.channels
        channel = self._number_of(publisher._connection, publisher._frames._channel_number)
        assert not state.published or channel == before
        state.published += [_sum(*event) for event in events]
        state.published_at = self._clock()

    def on_keep(self, is_kept: bool, _oversized: object, entry: Any, _limit: int) -> None:  # noqa: FBT001  # a result
        self._record("keep" if is_kept else "fail", event=_sum(entry.properties, entry.body))

    def on_close_turn(self, _result: None, _answers: object, events: int, *, is_durable: bool) -> None:
        # A turn of the loop without events merely answers refused requests.
        is_turn, self._state.is_turn = self._state.is_turn, False
        if is_turn or (is_durable and events):
            self._record("respond", events=events if is_durable else 0)

    # The proof.

    def on_add(self, _result: None, _proof: object, segment: Any, _last_tag: int) -> None:
        self._record("prove", segment=_name_of(segment))

    def on_probe_sent(self, _result: None, _proof: object, now: float) -> None:
        self._state.probe_at = now

    def on_probe(self, publisher: Any, _callback: object) -> None:
        self._state.publisher = publisher

    def on_declare(self, channel: Any, _callback: object) -> None:
        """Record a probe when it is passed to pika, if it belongs to the proof."""
        state = self._state
        at, state.probe_at = state.probe_at, None
        if at is not None:
            number = self._number_of(getattr(channel, "connection", channel), channel.channel_number)
            self._record("probe", at=at, channel=number, sent=state.publisher._sent)

    def on_confirm(self, _proof: object, tag: int, is_multiple: bool) -> None:  # noqa: FBT001  # as in AMQP
        self._record("confirm", tag=tag, multiple=is_multiple)

    def on_probe_answered(self, _proven: object, _proof: object, now: float, _majority_until: float) -> None:
        self._record("answer", at=now)

    def on_interrupt(self, unproven: list[Any], proof: object) -> None:
        self._state.confirms = isinstance(proof, Confirms)
        self._record("interrupt", segments=[_name_of(segment) for segment in unproven])


def _sum(properties: bytes, body: bytes) -> int:
    """Return the checksum that represents an event in a trace."""
    return crc32(body, crc32(properties))


def _name_of(segment: Any) -> str:
    """Return the name of a segment, which is unique on the host."""
    return f"{segment.path.parent.name}/{segment.path.name}"
