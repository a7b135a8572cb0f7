"""Record every minute how many requests this host's edge answered, so that `omctl stats` can cover days."""

import socket
from collections import Counter, defaultdict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeAlias

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from messaging.errors import RejectedEventError
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.models import edge_statistics
from workers.db.stats import ANSWERED, REFUSALS, WITHIN
from workers.observe.probe import Probe, read_edge
from workers.observe.settings import ObserveSettings
from workers.parsing import moment_of

RECORD_SECONDS: Final = 60.0
"""Interval between two records. If an edge process ends, its counts since the last record are lost."""

MAX_UNRECORDED: Final = 24 * 60
"""At most one day's readings wait for the database; if there are more, the oldest are lost."""

LONGEST: Final = "longest_us"

Counts: TypeAlias = Mapping[str, Mapping[str, int]]
"""Each process id's counts since the process started, by column of `edge_statistics`."""


def record_edge_answers(settings: ObserveSettings, clock: DatabaseClock) -> None:
    """Start a thread that records the edge's answers, unless the edge listens on a socket file."""
    if settings.is_edge_reachable:
        # Use a separate engine, because the sessions of the page and the scrapes are read-only.
        engine = make_engine(settings.database_url)
        clock.follow(engine)
        recorder = EdgeAnswersRecorder(engine, clock, socket.gethostname(), settings.edge)
        Probe("edge_answers", recorder.record, every_seconds=RECORD_SECONDS)


@dataclass(slots=True)
class EdgeAnswersRecorder:
    """Records how much the counts of the edge on *host* rose between two readings. *edge* is its address.

    The first reading is not recorded, because an earlier om-observe process might have recorded its counts.
    """

    engine: Engine
    clock: Clock
    host: str
    edge: str
    _before: Counts | None = None
    _began_us: int = 0
    _unrecorded: deque[list[dict[str, Any]]] = field(default_factory=partial(deque, maxlen=MAX_UNRECORDED))

    def record(self) -> None:
        """Record the answers since the last reading, in one row for each edge process.

        Raises an error if the edge or the database does not answer; the next call also covers this interval.
        """
        answer = read_edge(self.edge, "/metrics")
        answer.raise_for_status()
        counts = parse_counts(answer.text)
        now_us = self.clock.now_us()
        if self._before is not None and (rows := self._build_rows(self._before, counts, now_us)):
            self._unrecorded.append(rows)
        # Keep the last counts of each process, because a process can be missing from a single answer.
        self._before, self._began_us = {**(self._before or {}), **counts}, now_us
        while self._unrecorded:
            # If the answer to a commit was lost, the rows already exist, and om-observe may not update them.
            with suppress(RejectedEventError):
                transact(self.engine, Connection.execute, edge_statistics.insert(), self._unrecorded[0])
            self._unrecorded.popleft()

    def _build_rows(self, before: Counts, counts: Counts, now_us: int) -> list[dict[str, Any]]:
        rows = []
        for process, now in counts.items():
            rise = find_rise(now, before.get(process, {}))
            if any(rise.values()):
                key = {"process": f"{self.host} {process}", "began_at": moment_of(self._began_us)}
                length = {"duration_us": now_us - self._began_us, LONGEST: now[LONGEST]}
                rows.append({**key, "edge": self.host, **length, **rise})
        return rows


def parse_counts(metrics: str) -> Counts:
    """Return the counts that the text of the edge's metrics contains."""
    counts: defaultdict[str, Counter[str]] = defaultdict(
        lambda: Counter(dict.fromkeys((ANSWERED, *WITHIN.values(), *REFUSALS.values(), LONGEST), 0))
    )
    for family in text_string_to_metric_families(metrics):
        for sample in family.samples:
            process = sample.labels.get("pid", "")
            if sample.name == "om_edge_answer_seconds_bucket":
                counts[process][WITHIN.get(float(sample.labels["le"]), ANSWERED)] += int(sample.value)
            elif sample.name == "om_edge_refused_total":
                column = REFUSALS.get(sample.labels["status"], REFUSALS["other"])
                counts[process][column] += int(sample.value)
            elif sample.name == "om_edge_longest_answer_seconds":
                counts[process][LONGEST] = round(sample.value * 1_000_000)
    return counts


def find_rise(now: Mapping[str, int], before: Mapping[str, int]) -> dict[str, int]:
    """Return how much each count rose. If a count fell, a new process has the id of an earlier process."""
    counted = [column for column in now if column != LONGEST]
    is_new = any(now[column] < before.get(column, 0) for column in counted)
    return {column: now[column] - (0 if is_new else before.get(column, 0)) for column in counted}
