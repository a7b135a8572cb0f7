"""Know what each edge host answered lately, by what its processes hand to the workers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from workers.db.models import edge_statistics
from workers.observe.remembering import REMEMBERED_SECONDS, Remembered

if TYPE_CHECKING:
    from sqlalchemy import Engine

MINUTES: Final = 10

_E: Final = edge_statistics.c
_REFUSED: Final = _E.status_401 + _E.status_413 + _E.status_429 + _E.status_503 + _E.other_refusals
_BY_EDGE: Final = (
    select(
        _E.edge,
        func.sum(_E.answered).label("answered"),
        func.sum(_E.within_100_ms).label("soon"),
        func.sum(_REFUSED).label("refused"),
        func.max(_E.longest_us).label("longest_us"),
    )
    .group_by(_E.edge)
    .order_by(_E.edge)
)


class Edges:
    """What the edges answered in the last ten minutes; an edge without requests is not there.

    Args:
        engine: The database; where it is away nothing is told.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._remembered = Remembered(self._look, REMEMBERED_SECONDS)

    def read(self) -> list[dict[str, Any]]:
        """Return each edge host; shares from 0 to 1, the longest answer in milliseconds."""
        return self._remembered.read()

    def _look(self) -> list[dict[str, Any]]:
        since = datetime.now(UTC) - timedelta(minutes=MINUTES)
        try:
            with self._engine.connect() as connection:
                rows = connection.execute(_BY_EDGE.where(_E.began_at >= since)).all()
        except SQLAlchemyError:
            return []
        return [
            {
                "edge": row.edge,
                "answered": int(row.answered),
                "soon": int(row.soon) / int(row.answered) if row.answered else None,
                "refused": int(row.refused),
                "longest_ms": int(row.longest_us) / 1000,
            }
            for row in rows
        ]
