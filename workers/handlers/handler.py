"""Define the type of a handler; workers/handlers/__init__.py describes what a handler does."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from sqlalchemy import Connection

from workers.parsing import ClaimedEvent

Skips: TypeAlias = dict[int, str]
"""Maps the `processed_events.id` of each event without an effect to the reason, one stable word."""

Handler: TypeAlias = Callable[["Connection", Sequence["ClaimedEvent"], int], Skips]
"""Arguments: the connection, the events, the time in microseconds since the epoch."""
