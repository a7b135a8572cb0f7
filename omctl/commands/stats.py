"""omctl stats: how well the platform's notifications arrive, by our own records and by the platform's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.environment import Environment
from omctl.console import json_option, print_json, print_table
from omctl.database import database_url, in_words
from omctl.platform import platform_client
from workers.genesys import PlatformRefusedError, read_genesys_settings
from workers.tables import RETENTION_SESSION, engine_of, notifications_by_day, summed, transact

if TYPE_CHECKING:
    from workers.tables import Notifications

HEALTHY_PERCENT: Final = 99.5
"""The guide's: "a successRate above 99.5% over a rolling seven-day window"."""

DAYS: Final = 7

EXAMPLES: Final = """\b
Examples:
  omctl stats
  omctl stats --days 1 --json || echo "events are being missed"
"""


@click.command(epilog=EXAMPLES)
@click.option("--days", type=click.IntRange(1), default=DAYS, show_default=True, help="So many, with today.")
@json_option
def stats(*, days: int, as_json: bool) -> None:
    """Show how well the platform's notifications arrived, day by day.

    Our own count is of the records, so it holds for all edge hosts and outlives every process: what a webhook
    brought, what came again, what the reconciliation had to fetch. The platform's own statistics stand beside
    it where it has some. Exits 1 where a success rate is below 99.5 percent.
    """
    environment = Environment()
    since = datetime.now(UTC) - timedelta(days=days - 1)
    engine = engine_of(database_url(environment), RETENTION_SESSION)
    try:
        with in_words():
            by_day = transact(
                engine, lambda connection: notifications_by_day(connection, since.date().isoformat())
            )
    finally:
        engine.dispose()
    total = summed(by_day)
    platform = _platform_statistics(environment)
    rates = [total.success_rate, *(each.get("successRate") for each in platform)]
    is_healthy = all(rate is None or rate >= HEALTHY_PERCENT for rate in rates)
    _tell(by_day, total, platform, as_json=as_json, is_healthy=is_healthy)
    if not is_healthy:
        raise SystemExit(1)


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
    platform: list[dict[str, Any]],
    *,
    as_json: bool,
    is_healthy: bool,
) -> None:
    own = [_as_json(each) for each in by_day]
    if as_json:
        print_json({"healthy": is_healthy, "total": _as_json(total), "days": own, "platform": platform})
        return
    rows = [[_shown(value) for value in each.values()] for each in (*own, _as_json(total))]
    print_table(tuple(_as_json(total)), rows, title="By our records")
    for each in platform:
        print_table(
            ("", ""), [(name, _shown(value)) for name, value in each.items()], title="By the platform's"
        )
    click.echo(f"The success rate is {'above' if is_healthy else 'BELOW'} {HEALTHY_PERCENT} percent.")


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
