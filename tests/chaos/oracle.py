"""Compare the ledger with the tables, the broker's dead letters and the journals on disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tests.chaos.behind import ARCHIVE, UNFINISHED
from tests.chaos.broker_view import DEAD_LETTERS, EVENTS, WAITING
from tests.chaos.found import count_found
from tests.chaos.told import TellTale, missing_at, tell_tale
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import TextClause

    from tests.chaos.stand import Stand
    from tests.stand.ledger import Ledger

COUNT = "SELECT count(*) FROM processed_events WHERE conversation_id LIKE :run"
STORED = text("""
    SELECT payload.body FROM processed_events AS event
    JOIN event_payloads AS payload ON payload.event_id = event.id WHERE event.conversation_id LIKE :run
""")
CONFLICTS = "SELECT count(*) FROM event_conflicts WHERE idempotency_key LIKE :run"
KEPT_BACK = text("""
    SELECT event.body_sha256 FROM routing_updates AS notified
    JOIN processed_events AS event ON event.id = notified.event_id
    WHERE notified.decision = 'undecided'
        OR (notified.decision = 'superseded' AND notified.platform_status IS NOT NULL)
""")
SKIPPED = text("""
    SELECT body_sha256 FROM processed_events WHERE outcome = 'skipped' AND conversation_id LIKE :run
""")
GIVEN_UP = "SELECT count(*) FROM deliveries WHERE outcome <> 'delivered' AND conversation_id LIKE :run"
TWICE_IN_OUTBOX = "SELECT count(event_id) - count(DISTINCT event_id) FROM outbox"
REASONS = text("SELECT body_sha256 FROM dead_letters")

# Detects a repeated effect: a counter was incremented twice, or a message has a second row.
EFFECTS = text("""
    WITH events AS (
        SELECT conversation_id, count(*) AS total,
            count(CASE WHEN event_type LIKE '%message' THEN 1 END) AS messages
        FROM processed_events WHERE conversation_id LIKE :run GROUP BY 1
    ), buffered AS (
        SELECT conversation_id, count(*) AS messages
        FROM conversation_messages WHERE conversation_id LIKE :run GROUP BY 1
    )
    SELECT coalesce(c.event_count, 0), coalesce(c.message_count, 0), events.total, events.messages,
        coalesce(buffered.messages, 0)
    FROM events
    LEFT JOIN buffered ON buffered.conversation_id = events.conversation_id
    LEFT JOIN conversations c ON c.conversation_id = events.conversation_id
""")


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of comparing a ledger with the stored events.

    Args:
        answered: The number of distinct bodies answered with 200, except those that the fault destroyed.
        processed: The number of distinct bodies of the run that took effect and are stored byte for byte.
        dead_lettered: The number of distinct bodies that became dead letters, as expected.
        lost: The number of answered events that cannot be found, plus the number of missing effects.
        repeated: The number of rows and counted effects beyond one per event.
        drawn: The number of events drawn at random for `omctl find`.
        found: The number of drawn events that `omctl find` describes correctly.
        complaint: All other problems, in one line; empty if there are none.
    """

    answered: int
    processed: int
    dead_lettered: int
    lost: int
    repeated: int
    drawn: int
    found: int
    complaint: str

    @property
    def is_clean(self) -> bool:
        """Whether no event was lost, repeated or needlessly given up."""
        return not (self.lost or self.repeated or self.complaint)


class Oracle:
    """Compares the ledger with the servers and the disk, without using the code under test.

    Args:
        stand: The stand whose servers and disk are read.
        run: The prefix of the conversation ids to look for.
        ledger: The events that the service must account for.
    """

    def __init__(self, stand: Stand, run: str, ledger: Ledger) -> None:
        self._stand = stand
        self._name = run
        self._run = f"{run}-%"
        self._ledger = ledger

    def is_settled(self) -> bool:
        """Return whether all events seem to be processed; this check is cheap."""
        stand = self._stand
        if stand.journals.segments() or stand.view.waiting() != 0:
            return False
        try:
            processed = stand.ask(COUNT, run=self._run)
            is_told = not (stand.behind and stand.ask(UNFINISHED))
        except OperationalError:
            return False
        return is_told and processed >= len(self._ledger.owed - self._ledger.doomed)

    def progress(self) -> tuple[int, int, int, int]:
        """Return figures that change while there is progress. All except the first count unfinished work."""
        stand = self._stand
        untold = 0
        try:
            processed = stand.ask(COUNT, run=self._run)
            untold = stand.ask(UNFINISHED) if stand.behind else 0
        except OperationalError:
            processed = -1
        return processed, stand.view.waiting(), stand.journals.size, untold

    def verdict(self) -> Verdict:
        """Return the outcome of all events.

        If an event is missing, the workers are paused, and the messages in the queues are read before the
        event counts as lost.
        """
        verdict = self._judge(frozenset())
        if not verdict.lost:
            return verdict
        with self._stand.paused_workers():
            bodies = [body for queue in WAITING for body in self._stand.view.bodies(queue)]
            return self._judge(frozenset(map(digest_of, bodies)))

    def _dead(self) -> set[bytes]:
        bodies = self._stand.view.bodies(DEAD_LETTERS) + self._set_aside()
        return set(map(digest_of, bodies))

    def _journalled(self) -> set[bytes]:
        return set(map(digest_of, self._stand.journals.bodies()))

    def _judge(self, waiting: frozenset[bytes]) -> Verdict:
        stored = Counter(map(digest_of, self._all(STORED, run=self._run)))
        told, dead = self._told(), self._dead()
        shortage, excess = self._effects()
        owed, doomed = self._ledger.owed, self._ledger.doomed
        drawn, found, misfound = self._found(stored.keys() & owed, dead & doomed & owed)
        return Verdict(
            answered=len(owed),
            processed=len(stored),
            dead_lettered=len(dead & doomed & owed),
            lost=len(self._ledger.lost(stored.keys(), dead, self._journalled(), waiting))
            + shortage
            + told.lost,
            repeated=sum(count - 1 for count in stored.values()) + excess + told.repeated,
            drawn=drawn,
            found=found,
            complaint="; ".join(
                filter(None, (self._complaint(dead, stored, waiting), told.complaint, misfound))
            ),
        )

    def _found(self, stored: set[bytes], dead: set[bytes]) -> tuple[int, int, str]:
        """Return how many events were drawn, how many `find` reports correctly, and the first error."""
        # On a stand without destinations, no event is settled. An event that a destination refused, or that
        # the platform never confirmed, stops before it is delivered.
        stopped = self._ledger.refused | set(map(bytes, self._all(KEPT_BACK)))
        at_end = stored - stopped if self._stand.behind else set[bytes]()
        skipped, dead = set(self._all(SKIPPED, run=self._run)), dead - self._oversized()
        engine = self._stand.engine()
        try:
            return count_found(engine, self._name, stored, dead, skipped=skipped, at_end=at_end)
        finally:
            engine.dispose()

    def _set_aside(self) -> list[bytes]:
        return [
            path.read_bytes() for path in self._stand.journals.aside("oversized") if path.suffix == ".body"
        ]

    def _told(self) -> TellTale:
        """Compare the deliveries with the events if the stand has destinations."""
        stand = self._stand
        if stand.behind is None:
            return TellTale(0, 0, "")
        taken, said = stand.behind.taken_of(self._name), stand.behind.contacts.said
        bodies, refused = list(self._all(STORED, run=self._run)), self._ledger.refused
        tale = tell_tale(bodies, taken, said, set(self._all(KEPT_BACK)), refused)
        archived = stand.behind.taken_of(self._name, ARCHIVE)
        counts = {
            "{} deliveries were given up": max(0, stand.ask(GIVEN_UP, run=self._run) - len(refused)),
            "{} deliveries had no good signature": len(stand.behind.inbox.forgeries),
            "{} windows, updates and deliveries are unfinished": stand.ask(UNFINISHED),
        }
        words = [form.format(count) for form, count in counts.items() if count]
        return TellTale(
            tale.lost + missing_at(archived, bodies),
            tale.repeated + stand.ask(TWICE_IN_OUTBOX),
            "; ".join([*words, *filter(None, [tale.complaint])]),
        )

    def _all(self, question: TextClause, **values: object) -> Iterator[bytes]:
        """Yield the rows of a query one by one, because an hour of load produces millions of them."""
        engine = self._stand.engine()
        try:
            with engine.connect().execution_options(yield_per=10_000) as connection:
                for (value,) in connection.execute(question, values):
                    yield bytes(value)
        finally:
            engine.dispose()

    def _effects(self) -> tuple[int, int]:
        shortage = excess = 0
        engine = self._stand.engine()
        with engine.connect() as connection:
            for counted, messages, rows, distinct, buffered in connection.execute(
                EFFECTS, {"run": self._run}
            ):
                for actual, expected in ((counted, rows), (messages, distinct), (buffered, distinct)):
                    shortage += max(0, expected - actual)
                    excess += max(0, actual - expected)
        engine.dispose()
        return shortage, excess

    def _complaint(self, dead: set[bytes], stored: Counter[bytes], waiting: frozenset[bytes]) -> str:
        stand, owed, doomed = self._stand, self._ledger.owed, self._ledger.doomed
        complaints = {
            "{} sound events became dead letters": len((dead & owed) - doomed - self._ledger.refused),
            "{} refused events are no dead letters": len(self._ledger.refused - dead),
            "{} doomed events took effect": len(stored.keys() & doomed),
            "{} doomed events are no dead letters": len((doomed & owed) - dead),
            "{} dead letters have no recorded reason": len(
                (doomed & dead) - self._reasons() - self._oversized()
            ),
            "{} events are recorded as conflicts": stand.ask(CONFLICTS, run=self._run),
            "the journal did not empty: {} segments": len(stand.journals.segments()),
            "the queue did not drain: {} events that are in no table": len(waiting - stored.keys()),
            "the queue did not drain: {} deliveries": stand.view.depth(EVENTS),
        }
        return "; ".join(words.format(count) for words, count in complaints.items() if count)

    def _oversized(self) -> set[bytes]:
        return set(map(digest_of, self._set_aside()))

    def _reasons(self) -> set[bytes]:
        return set(self._all(REASONS))
