"""Look up in the service's own tables what became of bodies that it was posted."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any

from sqlalchemy import select
from sqlalchemy.exc import SQLAlchemyError

from simulator.traffic import compact
from workers.db.engine import make_engine
from workers.db.models import dead_letters, processed_events

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fates:
    """What the workers have made of webhooks.

    Args:
        database_url: Their database.
    """

    def __init__(self, database_url: str) -> None:
        self._engine = make_engine(database_url)

    def of(self, payloads: Sequence[dict[str, Any]]) -> list[str | None]:
        """Return a word or two for each: what was done, None where nothing is on record yet."""
        digests = [sha256(compact(each)).digest() for each in payloads]
        try:
            known = self._known(digests)
        except SQLAlchemyError:
            return [None] * len(digests)
        return [known.get(each) for each in digests]

    def _known(self, digests: list[bytes]) -> dict[bytes, str]:
        events, letters = processed_events.c, dead_letters.c
        with self._engine.connect() as connection:
            processed = connection.execute(
                select(events.body_sha256, events.outcome).where(events.body_sha256.in_(digests))
            )
            dead = connection.execute(
                select(letters.body_sha256, letters.code).where(letters.body_sha256.in_(digests))
            )
            known = {bytes(digest): f"dead letter: {code}" for digest, code in dead}
            return known | {bytes(digest): str(outcome) for digest, outcome in processed}
