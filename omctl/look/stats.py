"""omctl stats: show how well notifications arrive, from our own records and from the platform's."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connect.register import find_registered
from omctl.connect.registration import read_configured
from omctl.connections import open_database, open_platform
from omctl.interface import Command, json_option, print_table, show_json
from workers.db import stats as records
from workers.db.engine import transact
from workers.genesys import read_genesys_settings

HEALTHY_PERCENT: Final = 99.5
"""From the guide: "a successRate above 99.5% over a rolling seven-day window"."""

GUIDE_SECONDS: Final = 3.0
PLATFORM_SECONDS: Final = 10.0
"""If a webhook is not answered within this time, the platform sends it again."""


@click.command(cls=Command)
@click.option(
    "--days", type=click.IntRange(1), default=7, show_default=True, help="Number of days, including today."
)
@json_option
def stats(*, days: int) -> None:
    """Show how well the platform's notifications arrived, day by day, and how fast they were answered.

    Our own figures cover all edge hosts. They count the events that arrived by webhook, arrived repeatedly or
    were recovered by reconciliation. They also count the edge's answers, as recorded by om-observe on each
    edge host, in the last 24 hours and in all days shown. The platform's statistics for the webhook in
    OM_REGISTRATION follow. Exit status 1: a success rate, or the share answered within 3 s, is below 99.5
    percent; or there are no figures; or the platform's statistics could not be read.

    Examples:
      omctl stats
      omctl stats --days 1 --json || echo "events are being missed"
    """
    now = datetime.now(UTC)
    first_day = (now - timedelta(days=days - 1)).date().isoformat()
    spans = {"24 h": now - timedelta(days=1), f"{days} d": now - timedelta(days=days)}
    with open_database() as engine:
        by_day = transact(engine, records.read_notifications, first_day)
        read = records.read_acknowledgements
        answers = {span: transact(engine, read, start) for span, start in spans.items()}
    total = records.sum_notifications(by_day)
    by_platform = _fetch_platform_statistics(Environment())
    rates = [
        total.success_percent,
        *(statistics.get("successRate") for statistics in by_platform["platform"]),
        *(answered.percent_within(GUIDE_SECONDS) for answered in answers.values()),
    ]
    known = [rate for rate in rates if rate is not None]
    is_healthy = min(known) >= HEALTHY_PERCENT if known else None
    document = {
        "healthy": is_healthy,
        "total": _describe_day(total),
        "days": [_describe_day(day) for day in by_day],
        "acknowledgements": {span: _describe_answers(answered) for span, answered in answers.items()},
        **by_platform,
    }
    if not show_json(document):
        _print(document)
    if not is_healthy or "error" in document:
        raise SystemExit(1)


def _fetch_platform_statistics(environment: Environment) -> dict[str, Any]:
    """Return the platform's statistics for the configured webhook, if any, or the error that occurred."""
    statistics = []
    try:
        # The platform has statistics only for webhooks, not for integrations.
        has_platform = environment.string("OM_REGISTRATION") and read_genesys_settings(environment)
        configured = read_configured(environment) if has_platform else ()
        for webhook in (one for one in configured if one.kind == "webhook"):
            with open_platform(environment) as client:
                if (found := find_registered(client, webhook).registration_id) is not None:
                    answer = client.get(f"{webhook.locate(found)}/statistics")
                    statistics.append({"name": webhook.name, **answer})
    except OpenMessagingError as problem:
        error = {"status": 1, "message": f"the platform's statistics are unknown: {problem}"}
        return {"platform": [], "error": error}
    return {"platform": statistics}


def _print(document: Mapping[str, Any]) -> None:
    total = document["total"]
    rows = [day.values() for day in (*document["days"], total)]
    print_table([name.replace("_", " ") for name in total], rows, title="Notifications, by our records")
    answers: Mapping[str, dict[str, Any]] = document["acknowledgements"]
    columns = [_flatten(column) for column in answers.values()]
    cells = [[name, *(column[name] for column in columns)] for name in columns[0]]
    print_table(("", *answers), cells, title="Answers of the edge")
    for statistics in document["platform"]:
        print_table(("", ""), statistics.items(), title="By the platform's statistics")
    if "error" in document:
        click.echo(f"omctl: {document['error']['message']}", err=True)
    states = {True: f"above {HEALTHY_PERCENT}", False: f"NOT all above {HEALTHY_PERCENT}", None: "unknown"}
    click.echo(f"The rates in percent are {states[document['healthy']]}.")
    if total["success_percent"] is None:
        click.echo("The success rate is unknown: no reconciliation with the platform's history has finished.")
    click.echo("om-observe records the answers of the edge on its host once a minute.")


def _flatten(answers: dict[str, Any]) -> dict[str, Any]:
    hidden = {"shed", "within", "refused"}
    single = {name.replace("_", " "): value for name, value in answers.items() if name not in hidden}
    within = {f"within {seconds} s": count for seconds, count in answers["within"].items()}
    return single | within | {f"refused with {code}": count for code, count in answers["refused"].items()}


def _describe_answers(answered: records.Acknowledgements) -> dict[str, Any]:
    return {
        # Without any record, the number is unknown: om-observe might never have run on an edge host.
        "answered": None if answered.longest_s is None else answered.answered,
        "shed": None if answered.longest_s is None else answered.refused["429"],
        "percent_within_3_s": answered.percent_within(GUIDE_SECONDS),
        "percent_within_10_s": answered.percent_within(PLATFORM_SECONDS),
        "within": {str(seconds): count for seconds, count in answered.within.items()},
        "longest_s": answered.longest_s,
        "refused": answered.refused,
    }


def _describe_day(day: records.Notifications) -> dict[str, Any]:
    names = ("day", "notified", "repeated", "recovered", "dead_letters", "success_percent")
    return {name: getattr(day, name) for name in names}
