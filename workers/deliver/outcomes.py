"""Write how deliveries ended, and when those that did not are due again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import update

from workers.db.engine import BulkStatement, column_kinds
from workers.db.models import deliveries
from workers.deliver.heads import WAITS
from workers.parsing import moment_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from workers.deliver.deliveries import Taken

DELIVERED: Final = "delivered"
DEAD: Final = "dead"

_D: Final = deliveries.c

# IS TRUE for the same reason as WAITS.
_FINISH: Final = BulkStatement(
    """
    UPDATE deliveries SET outcome = {outcome}, status = {status}, reason = {reason},
        attempts = {attempts}, first_attempt_at = {first_attempt_at}, finished_at = {finished_at},
        due_at = {due_at}
    FROM {rows} WHERE deliveries.outbox_id = {outbox_id} AND deliveries.destination = {destination}
        AND (deliveries.outcome IS NULL) IS TRUE
    RETURNING deliveries.outbox_id, deliveries.destination
    """,
    column_kinds(
        deliveries,
        "outbox_id",
        "destination",
        "outcome",
        "status",
        "reason",
        "attempts",
        "first_attempt_at",
        "finished_at",
        "due_at",
    ),
)


def finish(connection: Connection, rows: Sequence[tuple[object, ...]]) -> set[tuple[int, str]]:
    """Write how deliveries ended, values as the columns of the statement above.

    Returns:
        Outbox id and destination of those that nobody had finished yet.
    """
    return {(outbox_id, destination) for outbox_id, destination in _FINISH.execute(connection, rows)}


def put_off(
    connection: Connection,
    destination: str,
    failed: Taken,
    rest: Sequence[int],
    due_us: int,
    **noted: object,
) -> None:
    """Let a run wait until *due_us*, as far as it is still ours.

    Args:
        connection: In a transaction.
        destination: The destination.
        failed: The delivery that the others wait for.
        rest: Outbox ids of the failed delivery and of those that follow it in the run.
        due_us: Microseconds since the epoch.
        noted: Columns to write of the failed one.
    """
    mine = update(deliveries).where(
        _D.destination == destination, WAITS, _D.due_at == moment_of(failed.lease_us)
    )
    if noted:
        connection.execute(mine.where(_D.outbox_id == failed.message.outbox_id).values(**noted))
    connection.execute(mine.where(_D.outbox_id.in_(rest)).values(due_at=moment_of(due_us)))
