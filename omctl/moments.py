"""Read a moment from the command line: ISO 8601, or so long ago."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

if TYPE_CHECKING:
    from typing import Any

_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_moment(words: str, now: datetime) -> datetime:
    """Return the moment that *words* name; without a time zone it is UTC.

    Raises:
        ValueError: They name none.
    """
    if ago := _AGO.fullmatch(words):
        return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
    moment = datetime.fromisoformat(words)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class _Moment(click.ParamType[datetime]):
    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        try:
            return read_moment(str(value), datetime.now(UTC))
        except ValueError:
            self.fail(f"{value!r} is no moment like 2026-05-15T14:00, 90m, 2h or 3d", param, ctx)


MOMENT: Final = _Moment()
