"""omctl reconcile: compare with the platform's history now, and recover missing events."""

import secrets
from datetime import datetime
from typing import Any, Final

import click
from sqlalchemy import Engine

from omctl.connections import open_database
from omctl.console import print_json, print_table, progress_bar
from omctl.interventions import cancellable, os_user
from omctl.options import change_options, since_option
from omctl.repair.reconciliation import Findings, Reconciliation
from workers.db.engine import DatabaseClock, transact
from workers.db.reconcile import read_watermarks
from workers.parsing import microseconds_of, moment_of
from workers.reconcile import (
    DAY_US,
    Bounds,
    EventsExchange,
    ReconcileSettings,
    ReconstructedEvent,
    open_platform_history,
    safe_cutoff,
)

RECOVERED: Final = 3
MISSING: Final = 4
PARTIAL: Final = 5
MISMATCH: Final = 6
WAIT_SECONDS: Final = 30.0

EXAMPLES: Final = """\b
Examples:
  omctl reconcile --since 2h --dry-run
  omctl reconcile --conversation 5d0d331e-… --since 3d
  omctl reconcile --since 1d --json || mail -s "events were missing" operators

\b
Exit status:
  0  nothing was missing
  3  events were missing, and all of them have taken effect now
  4  events are still missing: --dry-run, not processed in time, or dead letters
  5  not everything was compared, and nothing that was is still missing: the
     platform lists no conversations to this OAuth client, refuses to show
     some or has no answer for some, or some of its events are unreadable
  6  the comparison itself is wrong: the history lacks more than a twentieth
     of our own events, so nothing more was published
"""


@click.command(epilog=EXAMPLES)
@since_option("Happened")
@click.option("--conversation", "conversations", multiple=True, help="Only this one; repeatable.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0), default=WAIT_SECONDS, show_default=True,
    help="Seconds to wait until missing events are processed.",
)  # fmt: skip
@click.option(
    "--despite-mismatch", is_flag=True,
    help="Publish missing events even if the history lacks our own; the reconcile worker continues.",
)  # fmt: skip
@change_options
def reconcile(
    *,
    since: datetime | None,
    conversations: tuple[str, ...],
    wait_seconds: float,
    despite_mismatch: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare processed events with the platform's history, and recover missing ones.

    Without --since: from the first run of the reconcile worker on. It stays within the request budget of all
    hosts, and may run beside the reconcile worker. Events of the last three minutes may be on their way and
    are left out. After a mismatch the worker waits until this command has compared everything without one, or
    with --despite-mismatch.
    """
    settings = ReconcileSettings.from_environment()
    exchange = EventsExchange(settings.amqp_urls)
    with open_database() as engine, cancellable() as cancelled:
        clock = DatabaseClock(engine)
        bounds = _find_bounds(engine, exchange, settings, since, clock.now_us())
        history = open_platform_history(settings.genesys, engine, clock)
        reconciliation = Reconciliation(engine, clock, history, exchange, bounds, cancelled)
        _compare(reconciliation, conversations, dry_run=dry_run, is_waived=despite_mismatch)
        left = reconciliation.wait_for_missing(0.0 if dry_run else wait_seconds)
        report(reconciliation.findings, bounds, left, as_json=as_json)
    raise SystemExit(1 if cancelled.is_set() else exit_status(reconciliation.findings, left))


def exit_status(findings: Findings, left: list[ReconstructedEvent]) -> int:
    """Return the exit status for what was found, and what is still missing."""
    if findings.mismatch is not None:
        return MISMATCH
    if left:
        return MISSING
    if findings.unlisted is not None or findings.refused or findings.failed or findings.unreadable:
        return PARTIAL
    return RECOVERED if findings.missing else 0


def _find_bounds(
    engine: Engine,
    exchange: EventsExchange,
    settings: ReconcileSettings,
    since: datetime | None,
    now_us: int,
) -> Bounds:
    first_us = transact(engine, read_watermarks).first_from_us
    kept_from_us = now_us - settings.retention_days * DAY_US
    if since is not None:
        from_us = microseconds_of(since)
    elif first_us is not None:
        from_us = max(first_us, kept_from_us)
    else:
        raise click.UsageError("--since is required: the reconcile worker has not run yet.")
    if from_us < kept_from_us:
        raise click.UsageError(
            "--since reaches back beyond OM_RETENTION_DAYS: older events are deleted, and would look missing."
        )
    return Bounds(from_us, safe_cutoff(engine, exchange, now_us))


def _compare(
    reconciliation: Reconciliation, conversations: tuple[str, ...], *, dry_run: bool, is_waived: bool
) -> None:
    with progress_bar() as bar:
        task = bar.add_task("Listing", total=None, note="")
        ids = sorted(set(conversations)) or reconciliation.list_conversations()
        bar.update(task, description="Conversations", total=len(ids), completed=0)
        record = None if dry_run else reconciliation.begin(os_user(), secrets.token_hex(8))
        done = 0
        for done in reconciliation.compare(ids, record, is_waived=is_waived):
            bar.update(task, completed=done, note=f"{len(reconciliation.findings.missing)} missing")
        if record is not None and (done == len(ids) or reconciliation.findings.mismatch is not None):
            reconciliation.finish(record, os_user(), is_of_all=not conversations)


def report(findings: Findings, bounds: Bounds, left: list[ReconstructedEvent], *, as_json: bool) -> None:
    """Print the counts, the conversations passed over, and the gaps."""
    names = ("conversations", "unknown", "compared", "unreadable")
    counts = {
        **{name: getattr(findings, name) for name in names},
        "refused": len(findings.refused),
        "failed": len(findings.failed),
        "missing": len(findings.missing),
        "recovered": len(findings.missing) - len(left),
    }
    waiting = {event.key for event in left}
    gaps = [_describe_gap(event, waiting) for event in findings.missing]
    passed_over: list[dict[str, Any]] = [
        {"conversation": conversation_id, "why": why, "reason": reason}
        for why, reasons in (("refused", findings.refused), ("failed", findings.failed))
        for conversation_id, reason in reasons.items()
    ]
    interval = {"from": moment_of(bounds.from_us).isoformat(), "to": moment_of(bounds.to_us).isoformat()}
    if as_json:
        reasons = {"unlisted": findings.unlisted, "mismatch": findings.mismatch}
        print_json({**interval, **counts, **reasons, "passed_over": passed_over, "gaps": gaps})
        return
    print_table(("", ""), [(name, str(value)) for name, value in (*interval.items(), *counts.items())])
    for sentence, reason in (
        ("Conversations of which we have no event were not compared", findings.unlisted),
        ("Nothing more was published", findings.mismatch),
    ):
        if reason is not None:
            click.echo(f"{sentence}: {reason}", err=True)
    for title, rows in (("Passed over", passed_over), ("Gaps", gaps)):
        if rows:
            cells = [["" if value is None else str(value) for value in row.values()] for row in rows]
            print_table(tuple(rows[0]), cells, title=title)


def _describe_gap(missing: ReconstructedEvent, waiting: set[str]) -> dict[str, Any]:
    event = missing.event
    return {
        "conversation": event.conversation_id,
        "type": event.event_type,
        "message": event.platform_message_id,
        "status": event.receipt_status,
        "occurred": moment_of(event.occurred_at_us).isoformat(),
        "recovered": missing.key not in waiting,
    }
