"""omctl stats: how well the platform's notifications arrive, by our own records and by the platform's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.edge_statistics import BOUNDS_SECONDS
from messaging.environment import Environment
from omctl.console import json_option, print_json, print_table
from omctl.database import database_url, in_words
from omctl.platform import platform_client
from workers.db.engine import make_engine, transact
from workers.db.retention import RETENTION_SESSION
from workers.db.stats import acknowledgements_since, notifications_by_day, summed
from workers.genesys import PlatformRefusedError, read_genesys_settings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from sqlalchemy import Connection

    from workers.db.stats import Acknowledgements, Notifications

HEALTHY_PERCENT: Final = 99.5
"""The guide's: "a successRate above 99.5% over a rolling seven-day window"."""

DAYS: Final = 7

GUIDE_SECONDS: Final = 3.0
"""In which the guide wants an answer."""

PLATFORM_SECONDS: Final = 10.0
"""After which the platform takes a webhook for unanswered, and repeats it."""

PARTS: Final = {"within": " s", "refused": ""}
"""Counts of several kinds, with their unit."""

EXAMPLES: Final = """\b
Examples:
  omctl stats
  omctl stats --days 1 --json || echo "events are being missed"
"""


@click.command(epilog=EXAMPLES)
@click.option("--days", type=click.IntRange(1), default=DAYS, show_default=True, help="So many, with today.")
@json_option
def stats(*, days: int, as_json: bool) -> None:
    """Show how well the platform's notifications arrived, day by day, and how soon they were answered.

    Our own count is of the records, so it holds for all edge hosts and outlives every process: what a webhook
    brought, what came again, what the reconciliation had to fetch; and what each edge process answered, how
    soon, and refused, in the last 24 hours and in those days. The platform's own statistics stand beside it
    where it has some. Exits 1 where a success rate is below 99.5 percent, or fewer were answered within 3 s.
    """
    environment = Environment()
    now = datetime.now(UTC)
    since = now - timedelta(days=days - 1)
    spans = {"24 h": now - timedelta(days=1), f"{days} d": now - timedelta(days=days)}
    engine = make_engine(database_url(environment), RETENTION_SESSION)
    try:
        with in_words():
            by_day = transact(
                engine, lambda connection: notifications_by_day(connection, since.date().isoformat())
            )
            answers = {span: transact(engine, _answered_since(start)) for span, start in spans.items()}
    finally:
        engine.dispose()
    total = summed(by_day)
    platform = _platform_statistics(environment)
    rates = [
        total.success_rate,
        *(each.get("successRate") for each in platform),
        *(each.percent_within(GUIDE_SECONDS) for each in answers.values()),
    ]
    is_healthy = all(rate is None or rate >= HEALTHY_PERCENT for rate in rates)
    _tell(by_day, total, answers, platform, as_json=as_json, is_healthy=is_healthy)
    if not is_healthy:
        raise SystemExit(1)


def _answered_since(start: datetime) -> Callable[[Connection], Acknowledgements]:
    return lambda connection: acknowledgements_since(connection, start)


def _platform_statistics(environment: Environment) -> list[dict[str, Any]]:
    """Return the platform's statistics of each webhook; none where it is not configured or has none."""
    if read_genesys_settings(environment) is None:
        return []
    with platform_client(environment) as client:
        try:
            webhooks = client.get("/api/v2/integrations/webhooks").get("entities") or []
            return [
                {
                    "name": each.get("name"),
                    **client.get(f"/api/v2/integrations/webhooks/{each['id']}/statistics"),
                }
                for each in webhooks
            ]
        except PlatformRefusedError:
            # Today's platform has no such statistics; the guide has.
            return []


def _tell(
    by_day: list[Notifications],
    total: Notifications,
    answers: Mapping[str, Acknowledgements],
    platform: list[dict[str, Any]],
    *,
    as_json: bool,
    is_healthy: bool,
) -> None:
    own = [_as_json(each) for each in by_day]
    if as_json:
        told = {span: _answers_as_json(each) for span, each in answers.items()}
        print_json(
            {
                "healthy": is_healthy,
                "total": _as_json(total),
                "days": own,
                "acknowledgements": told,
                "platform": platform,
            }
        )
        return
    rows = [[_shown(value) for value in each.values()] for each in (*own, _as_json(total))]
    print_table(tuple(_as_json(total)), rows, title="By our records")
    _print_answers(answers)
    for each in platform:
        print_table(
            ("", ""), [(name, _shown(value)) for name, value in each.items()], title="By the platform's"
        )
    click.echo(f"The rates are {'above' if is_healthy else 'NOT ALL above'} {HEALTHY_PERCENT} percent.")
    if total.success_rate is None:
        click.echo("The success rate is unknown: no reconciliation with the platform's history has finished.")


def _print_answers(answers: Mapping[str, Acknowledgements]) -> None:
    columns = [_answers_as_json(each) for each in answers.values()]
    rows = [(name, *(_shown(column[name]) for column in columns)) for name in columns[0] if name not in PARTS]
    parts = [
        (f"{part} {name}{unit}", *(_shown(column[part][name]) for column in columns))
        for part, unit in PARTS.items()
        for name in columns[0][part]
    ]
    print_table(("", *answers), [*rows, *parts], title="What the edge answered")


def _answers_as_json(each: Acknowledgements) -> dict[str, Any]:
    return {
        "answered": each.answered,
        "shed": each.refused["429"],
        "percent_within_3_s": each.percent_within(GUIDE_SECONDS),
        "percent_within_10_s": each.percent_within(PLATFORM_SECONDS),
        "within": dict(zip(map(str, BOUNDS_SECONDS), each.within, strict=True)),
        "longest_s": each.longest_s,
        "refused": each.refused,
    }


def _as_json(each: Notifications) -> dict[str, Any]:
    return {
        "day": each.day,
        "notified": each.notified,
        "repeated": each.repeated,
        "recovered": each.recovered,
        "dead_letters": each.dead_letters,
        "success_rate": each.success_rate,
    }


def _shown(value: Any) -> str:
    return f"{value:.3f}" if isinstance(value, float) else "" if value is None else str(value)
