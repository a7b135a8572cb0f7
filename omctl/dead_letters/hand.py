"""Open the dead letters for one command, with what runs them again and what is on record of them."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from messaging.blocking import dead_letters_in_hand
from messaging.environment import Environment
from omctl.database import database_url, in_words
from workers.tables import OPERATOR_SESSION, engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from messaging.blocking import DeadLetterQueue, Republisher


@dataclass(frozen=True, slots=True)
class Hand:
    """The dead letters, what runs them again, what is on record of them."""

    queue: DeadLetterQueue
    republisher: Republisher
    engine: Engine


@contextmanager
def in_hand() -> Iterator[Hand]:
    """Yield the dead letters of OM_AMQP_URL, to nobody else meanwhile.

    Raises:
        DeadLettersInHandError: Somebody else has them.
    """
    environment = Environment()
    engine = engine_of(database_url(environment), OPERATOR_SESSION)
    urls = environment.strings("OM_AMQP_URL")
    try:
        with in_words(), dead_letters_in_hand(urls, client_name="omctl dead-letters") as (queue, republisher):
            yield Hand(queue, republisher, engine)
    finally:
        engine.dispose()
