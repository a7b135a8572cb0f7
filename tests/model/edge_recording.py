"""Record the steps of edge processes: calls of the journal, of the proof and of the link to the broker.

trace.py describes and checks the steps.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.model.recording import follow
from webhook_api.answers import Answers
from webhook_api.journal import Backlog, Journal
from webhook_api.relay import Barrier, BrokerLink, Oversized

if TYPE_CHECKING:
    from collections.abc import Callable


def record_edge(
    write: Callable[[dict[str, Any]], None], process: Callable[[], int] = os.getpid
) -> Callable[[], None]:
    """Record the steps of every edge process of this interpreter.

    Args:
        write: A function that is called with each step.
        process: Returns the number of the process that takes the step.

    Returns:
        A function that ends the recording.
    """
    recorder = _Recorder(write, process)
    ends = [
        follow(Journal, "write", recorder.on_write),
        follow(Journal, "rotate", recorder.on_rotate),
        follow(Journal, "tend", recorder.on_tend),
        follow(Journal, "discard", recorder.on_discard),
        follow(Backlog, "read", recorder.on_read),
        follow(Backlog, "postpone", recorder.on_postpone),
        follow(BrokerLink, "publish", recorder.on_publish),
        follow(Oversized, "keep", recorder.on_keep),
        follow(Answers, "close_turn", recorder.on_close_turn),
        follow(Barrier, "add", recorder.on_add),
        follow(Barrier, "on_probe_sent", recorder.on_probe_sent),
        follow(Barrier, "on_probe_answered", recorder.on_probe_answered),
        follow(Barrier, "interrupt", recorder.on_interrupt),
    ]

    def end() -> None:
        for end_one in ends:
            end_one()

    return end


class _Recorder:
    """Combines consecutive publishes into one step, because the republisher publishes event by event."""

    def __init__(self, write: Callable[[dict[str, Any]], None], process: Callable[[], int]) -> None:
        self._write = write
        self._process = process
        self._published: Counter[int] = Counter()

    def _record(self, step: str, **fields: object) -> None:
        if published := self._published.pop(self._process(), 0):
            self._write({"step": "publish", "events": published})
        self._write({"step": step, **fields})

    def on_write(self, events: list[Any], journal: Journal) -> None:
        if events:
            self._record("write", segment=_name_of(journal.active), events=len(events))

    def on_rotate(self, closed: Any, *_: object) -> None:
        self._record("close", segment=_name_of(closed), events=closed.events)

    def on_tend(self, adopted: list[Any], *_: object) -> None:
        if adopted:
            self._record("adopt", segments=_names_of(adopted))

    def on_discard(self, _result: None, _journal: object, segment: Any) -> None:
        self._record("unlink", segment=_name_of(segment))

    def on_read(self, result: tuple[list[Any], Any], *_: object) -> None:
        entries, finished = result
        if entries or finished:
            names = [] if finished is None else [_name_of(finished)]
            self._record("read", events=len(entries), segments=names)

    def on_postpone(self, _result: None, _backlog: object, segment: Any) -> None:
        self._record("postpone", segment=_name_of(segment))

    def on_publish(self, _result: None, _link: object, events: list[Any]) -> None:
        self._published[self._process()] += len(events)

    def on_keep(self, is_kept: bool, *_: object) -> None:  # noqa: FBT001  # a result
        if is_kept:
            self._published[self._process()] += 1
        else:
            self._record("fail", events=1)

    def on_close_turn(self, _result: None, _answers: object, events: int, *, is_durable: bool) -> None:
        self._record("respond", events=events if is_durable else 0)

    def on_add(self, _result: None, _barrier: object, segment: Any, _last_tag: int) -> None:
        self._record("prove", segment=_name_of(segment))

    def on_probe_sent(self, _result: None, _barrier: object, now: float) -> None:
        self._record("probe", at=now)

    def on_probe_answered(self, _proven: object, _barrier: object, now: float, majority_until: float) -> None:
        self._record("answer", at=now, majority_until=majority_until)

    def on_interrupt(self, unproven: list[Any], *_: object) -> None:
        self._record("interrupt", segments=_names_of(unproven))


def _name_of(segment: Any) -> str:
    """Return the name of a segment, which is unique on the host."""
    return f"{segment.path.parent.name}/{segment.path.name}"


def _names_of(segments: list[Any]) -> list[str]:
    return [_name_of(segment) for segment in segments]
