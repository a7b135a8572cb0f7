"""Open the dead letters for one command: the queue, what publishes them again, and their records."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from messaging.admin import dead_letters_in_hand
from messaging.environment import Environment
from omctl.database import operators_database

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from messaging.admin import DeadLetterQueue, Republisher


@dataclass(frozen=True, slots=True)
class Session:
    """The dead letters, what publishes them again, and the database with their records."""

    queue: DeadLetterQueue
    republisher: Republisher
    engine: Engine


@contextmanager
def dead_letter_session() -> Iterator[Session]:
    """Yield the dead letters of OM_AMQP_URL, to no other omctl meanwhile.

    Raises:
        DeadLettersInHandError: Another omctl has them.
    """
    urls = Environment().strings("OM_AMQP_URL")
    with (
        operators_database() as engine,
        dead_letters_in_hand(urls, client_name="omctl dead-letters") as (queue, republisher),
    ):
        yield Session(queue, republisher, engine)
