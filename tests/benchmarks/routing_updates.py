"""Model routing updates during a busy reconciliation, using the product's code and a simulated clock.

    python -m tests.benchmarks.routing_updates --rate 30 --minutes 15 [--apply-unverified 60]

The model runs the settle role's Verifier, the request budget, the simulated platform with its limit and its
lag, and SQLite. It simulates the time, the network (0.1 s per request) and a background caller, which
uses up all requests that are left in the budget. Two of a conversation's 20 events change its state, 15 to
60 s apart. The conversation ends one to five minutes after the second change.
"""

from __future__ import annotations

import heapq
import random
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import click
from sqlalchemy import text

from simulator.platform import Conversation, Organisation, Participant
from simulator.platform.app import as_conversation
from tests.fakes.clock import FakeClock
from workers.db.engine import make_engine
from workers.db.migrations.schema import upgrade
from workers.genesys import ConversationStates, PlatformBusyError, PlatformRefusedError, RequestBudget
from workers.handlers.conversation_updated import _KEEP
from workers.parsing import QUEUED, ROUTED
from workers.settle import Verifier

LIMIT = 300
EVENTS_PER_CONVERSATION = 20
REQUEST_SECONDS = 0.1
TICK_SECONDS = 0.1


class Client:
    """A client that calls the simulated platform without a network."""

    def __init__(self, organisation: Organisation, budget: RequestBudget, clock: FakeClock) -> None:
        self._organisation, self._budget, self._clock = organisation, budget, clock
        self.asked: list[float] = []

    def get(self, path: str) -> dict[str, Any]:
        """Return the platform's response to a GET request for *path*."""
        self._budget.take()
        self.count(path)
        self._clock.seconds += REQUEST_SECONDS
        found = self._organisation.find(path.rpartition("/")[2])
        if found is None:
            raise PlatformRefusedError(404, "not.found", "none")
        return as_conversation(found)

    def count(self, path: str) -> None:
        """Count a request towards the platform's own limit."""
        self.asked.append(self._clock.seconds)
        wait = self._organisation.take_request(path)
        assert not wait, "the platform answered 429"


class TurnError(Exception):
    """The background caller must wait before its next request."""


def _wait(seconds: float) -> None:
    raise TurnError(seconds)


def changes(rate: float, seconds: float) -> list[tuple[float, int, str]]:
    """Return the state changes, each with its time, its conversation's number and the new state."""
    found = []
    for number in range(round(seconds * rate / EVENTS_PER_CONVERSATION)):
        queued = random.uniform(0, seconds)
        routed = queued + random.uniform(15, 60)
        found += [(queued, number, QUEUED), (routed, number, ROUTED)]
        found.append((routed + random.uniform(60, 300), number, "ended"))
    return found


@click.command()
@click.option("--rate", type=float, default=30.0, help="Events a second.")
@click.option("--minutes", type=float, default=15.0)
@click.option("--apply-unverified", type=float, default=0.0, help="As OM_APPLY_UNVERIFIED_SECONDS.")
def main(rate: float, minutes: float, apply_unverified: float) -> None:
    """Run the model and print the outcome of the updates."""
    random.seed(1)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        url = f"sqlite:///{Path(directory) / 'model.sqlite3'}"
        upgrade(url)
        Model(url, apply_unverified).run(changes(rate, minutes * 60), minutes * 60 + 610)


class Model:
    """The modelled service: one database, one platform, one settle process, one background caller."""

    def __init__(self, url: str, apply_unverified: float) -> None:
        self.clock = FakeClock(1_800_000_000.0)
        self.engine = make_engine(url)
        self.organisation = Organisation(
            "client", "s", requests_per_minute=LIMIT, lag=3.0, timer=self.clock.monotonic
        )
        self.client = Client(
            self.organisation, RequestBudget(self.engine, "client", LIMIT, self.clock), self.clock
        )
        self.background = RequestBudget(
            self.engine, "client", LIMIT, self.clock, is_background=True, wait=_wait
        )
        self.verifier = Verifier(
            self.engine,
            self.clock,
            states=ConversationStates(self.client, self.clock.monotonic),  # type: ignore[arg-type]
            end_seconds=apply_unverified or 600.0,
            applies_unverified=apply_unverified > 0,
        )
        self.in_background = self.event_id = 0
        self.background_at = 0.0

    def run(self, wanted: list[tuple[float, int, str]], seconds: float) -> None:
        """Advance the clock until all updates are decided or *seconds* have passed, and print the outcome."""
        heapq.heapify(wanted)
        began = self.clock.seconds
        while self.clock.seconds < began + seconds and (wanted or self.is_waiting()):
            while wanted and wanted[0][0] <= self.clock.seconds - began:
                self.change(*heapq.heappop(wanted)[1:])
            self.verifier.settle_updates()
            self.verifier.end_updates()
            self.ask_in_background()
            self.clock.seconds += TICK_SECONDS
        self.report()

    def is_waiting(self) -> bool:
        """Return whether any update is still waiting for a decision."""
        with self.engine.connect() as connection:
            waiting = connection.execute(text("SELECT 1 FROM routing_updates WHERE decision IS NULL LIMIT 1"))
            return waiting.first() is not None

    def ask_in_background(self) -> None:
        """Send a request as a reconciliation does, if the budget allows one."""
        if self.clock.seconds < self.background_at:
            return
        try:
            self.background.take()
        except TurnError as error:
            self.background_at = self.clock.seconds + error.args[0]
        except PlatformBusyError as error:
            self.background_at = self.clock.seconds + error.delay
        else:
            self.in_background += 1
            self.client.count("background")

    def change(self, number: int, state: str) -> None:
        """Change a conversation on the platform, and store the routing update about that change."""
        conversation = f"c-{number}"
        others = {QUEUED: Participant("acd", queue_id="q"), ROUTED: Participant("agent", user_id="a")}
        participants = [Participant("customer"), others.get(state, Participant("customer"))]
        ended = "2027-01-01T00:00:00Z" if state == "ended" else None
        self.organisation.put(Conversation(conversation, "2027-01-01T00:00:00Z", ended, participants))
        if state == "ended":
            return
        self.event_id += 1
        now_us = self.clock.now_us()
        with self.engine.begin() as connection:
            connection.execute(text(OPEN), {"id": conversation})
            row = (self.event_id, conversation, now_us, 0, now_us, state, None, now_us, now_us)
            _KEEP.execute(connection, [row])

    def report(self) -> None:
        """Print the decisions about the updates, and how long the updates waited for them."""
        with self.engine.connect() as connection:
            rows = connection.execute(text(RESULTS)).all()
        waits = sorted(row.waited for row in rows if row.waited is not None)
        current = sorted(row.waited for row in rows if row.waited is not None and row.verified)
        minute = max(
            (sum(at <= other < at + 60 for other in self.client.asked[index : index + 400]))
            for index, at in enumerate(self.client.asked)
        )
        click.echo(
            f"updates={len(rows)} decisions={dict(Counter((row.decision, row.verified) for row in rows))}\n"
            f"longest_wait_s={waits[-1]:.1f} verified: p50_s={current[len(current) // 2]:.1f} "
            f"p99_s={current[len(current) * 99 // 100]:.1f} longest_s={current[-1]:.1f}\n"
            f"busiest_minute={minute} of {LIMIT}, in the background {self.in_background}"
        )


OPEN = """
    INSERT INTO conversations (conversation_id, status, routing_sequence, event_count, message_count,
        first_event_at, last_event_at, updated_at, settled_count, settled_through_sequence)
    VALUES (:id, 'implied', 0, 0, 0, '2027-01-01 00:00:00.000000', '2027-01-01 00:00:00.000000',
        '2027-01-01 00:00:00.000000', 0, 0)
    ON CONFLICT DO NOTHING"""
RESULTS = """
    SELECT decision, verified, (julianday(decided_at) - julianday(waits_since)) * 86400 AS waited
    FROM routing_updates"""

if __name__ == "__main__":
    main()
