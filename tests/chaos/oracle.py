"""Settle the ledger with the tables: what is missing, what took effect twice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from tests.chaos.ledger import Ledger

PROCESSED = text(
    "SELECT body_sha256, count(*) FROM processed_events WHERE conversation_id LIKE :run GROUP BY 1"
)
DEAD = text("SELECT body_sha256, count(*) FROM dead_letters GROUP BY 1")

# The counters are increments and the messages are rows: each tells in its own way of an effect too many.
EFFECTS = text("""
    WITH events AS (
        SELECT conversation_id, count(*) AS total,
            count(DISTINCT CASE WHEN event_type LIKE '%message' THEN body_sha256 END) AS messages
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
    """What a ledger and the tables say together.

    Args:
        answered: Distinct bodies answered 200, without those whose only copy the fault destroyed.
        processed: Of the run, in processed_events.
        dead_lettered: Of the run, in dead_letters and meant to be.
        lost: Answered, and found nowhere; and effects that are missing.
        repeated: Rows and counted effects beyond one per event.
        wrongly_dead: Dead letters that no fault of the event explains.
    """

    answered: int
    processed: int
    dead_lettered: int
    lost: int
    repeated: int
    wrongly_dead: int

    @property
    def is_clean(self) -> bool:
        """Nothing lost, nothing twice, nothing given up without need."""
        return not (self.lost or self.repeated or self.wrongly_dead)


class Oracle:
    """Asks the tables, past all code of the workers.

    Args:
        url: The stand's database.
        run: Begins the conversation ids that are asked for.
    """

    def __init__(self, url: str, run: str) -> None:
        self._engine: Engine = create_engine(url)
        self._run = {"run": f"{run}-%"}

    def missing(self, ledger: Ledger, journalled: frozenset[bytes] = frozenset()) -> frozenset[bytes]:
        """Return the digests that were answered and are found nowhere; all of them without a database."""
        try:
            return ledger.owed - self._counts(PROCESSED).keys() - self._counts(DEAD).keys() - journalled
        except OperationalError:
            return ledger.owed

    def verdict(self, ledger: Ledger, journalled: frozenset[bytes] = frozenset()) -> Verdict:
        """Return what became of everything."""
        processed, dead = self._counts(PROCESSED), self._counts(DEAD)
        shortage, excess = self._effects()
        owed = ledger.owed
        return Verdict(
            answered=len(owed),
            processed=len(processed),
            dead_lettered=len(dead.keys() & ledger.doomed),
            lost=len(owed - processed.keys() - dead.keys() - journalled) + shortage,
            repeated=sum(count - 1 for count in processed.values()) + excess,
            wrongly_dead=len((dead.keys() & owed) - ledger.doomed),
        )

    def close(self) -> None:
        """Let go of the database."""
        self._engine.dispose()

    def _counts(self, question: object) -> dict[bytes, int]:
        with self._engine.connect() as connection:
            rows = connection.execute(question, self._run if question is PROCESSED else {})
            return {bytes(digest): count for digest, count in rows}

    def _effects(self) -> tuple[int, int]:
        shortage = excess = 0
        with self._engine.connect() as connection:
            for counted, messages, rows, distinct, buffered in connection.execute(EFFECTS, self._run):
                for actual, expected in ((counted, rows), (messages, distinct), (buffered, distinct)):
                    shortage += max(0, expected - actual)
                    excess += max(0, actual - expected)
        return shortage, excess
