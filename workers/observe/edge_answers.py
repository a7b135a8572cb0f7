"""Record every minute what the edge on this host has answered, so that `omctl stats` covers days."""

import socket
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import Connection, Engine

from messaging.clock import Clock
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.models import edge_statistics
from workers.db.stats import ANSWERED, REFUSALS, WITHIN
from workers.observe.probe import Probe, read_edge
from workers.observe.settings import ObserveSettings
from workers.parsing import moment_of

RECORD_SECONDS: Final = 60.0
"""Interval between two records. If an edge process ends, the counts of at most this time are lost."""

LONGEST: Final = "longest_us"

Counts: TypeAlias = Mapping[str, Mapping[str, int]]
"""Counts since a process began, by process id, then by column of `edge_statistics`."""


def record_edge_answers(settings: ObserveSettings, clock: DatabaseClock) -> None:
    """Start a thread that records the edge's answers, unless the edge listens at a socket file."""
    if settings.is_edge_reachable:
        # A separate engine, because the sessions of the page and the scrapes are read-only.
        engine = make_engine(settings.database_url)
        clock.follow(engine)
        recorder = EdgeAnswersRecorder(engine, clock, socket.gethostname(), settings.edge)
        Probe("edge_answers", recorder.record, every_seconds=RECORD_SECONDS)


@dataclass(slots=True)
class EdgeAnswersRecorder:
    """Records how much the counts of the edge on *host*, at address *edge*, rose between two readings.

    The first reading is not recorded, because an earlier om-observe may have recorded its counts.
    """

    engine: Engine
    clock: Clock
    host: str
    edge: str
    _before: Counts | None = None
    _began_us: int = 0

    def record(self) -> None:
        """Record the answers since the last reading, one row for each process.

        If the edge or the database does not answer, this raises, and the next call records this interval too.
        """
        answer = read_edge(self.edge, "/metrics")
        answer.raise_for_status()
        counts = parse_counts(answer.text)
        now_us = self.clock.now_us()
        if self._before is not None and (rows := self._build_rows(self._before, counts, now_us)):
            transact(self.engine, Connection.execute, edge_statistics.insert(), rows)
        # A process may be missing from one answer, so its last known counts are kept.
        self._before, self._began_us = {**(self._before or {}), **counts}, now_us

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
    """Return the counts in the edge's metrics."""
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
    """Return by how much each count rose; if one fell, a new process has the id of one that ended."""
    counted = [column for column in now if column != LONGEST]
    is_new = any(now[column] < before.get(column, 0) for column in counted)
    return {column: now[column] - (0 if is_new else before.get(column, 0)) for column in counted}
