"""Write the outbox, which plans the deliveries to destinations, in order within each conversation."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import Connection

from workers.db.engine import insert_into
from workers.db.models import outbox

_PUT: Final = insert_into(
    outbox, ("conversation_id", "event_id", "event_type", "occurred_at", "late", "verified", "created_at")
)


def put_in_outbox(connection: Connection, rows: Sequence[tuple[object, ...]]) -> None:
    """Write entries in their order, with the values of all columns but the id, and plan their deliveries.

    The trigger `outbox_plans_deliveries` (in workers/db/migrations/versions) inserts into `deliveries`, in
    the same transaction, one row for each entry and destination that `subscriptions` has for its event type.
    The caller holds the locks of the conversations, so that within each the ids rise in the order of the
    commits.
    """
    if rows:
        _PUT.execute(connection, rows)
