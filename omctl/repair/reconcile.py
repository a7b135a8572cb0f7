"""omctl reconcile: compare with the platform's history now, and recover missing events."""

from collections import Counter
from datetime import datetime
from typing import Any

import click
from sqlalchemy import Engine

from omctl.connections import open_database
from omctl.interface import Command, change_options, print_table, progress_bar, show_json, since_option
from omctl.interventions import cancellable, os_user
from omctl.repair.reconciliation import Findings, Reconciliation
from workers import reconcile as worker
from workers.db.engine import DatabaseClock, transact
from workers.db.reconcile import read_watermarks
from workers.parsing import microseconds_of, moment_of
from workers.reconcile import Bounds, EventsExchange, ReconcileSettings, ReconstructedEvent


@click.command(cls=Command)
@since_option("Happened")
@click.option("--conversation", "conversations", multiple=True, help="Only this one; repeatable.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0), default=30.0, show_default=True,
    help="Seconds to wait until missing events are processed.",
)  # fmt: skip
@click.option(
    "--despite-mismatch", is_flag=True,
    help="Publish missing events even if the history lacks our own; the reconcile worker continues.",
)  # fmt: skip
@change_options
def reconcile(
    *, since: datetime | None, conversations: tuple[str, ...], dry_run: bool, **options: Any
) -> None:
    """Compare processed events with the platform's history, and recover missing ones.

    Without --since: from the first run of the reconcile worker on. It stays within the request budget of all
    hosts, and may run beside the reconcile worker. Events of the last three minutes may be on their way and
    are left out. After a mismatch the worker waits until this command has compared everything without one, or
    with --despite-mismatch.

    Examples:
      omctl reconcile --since 2h --dry-run
      omctl reconcile --conversation 5d0d331e-… --since 3d
      omctl reconcile --since 1d --json || mail -s "events were missing" operators

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
    settings = ReconcileSettings.from_environment()
    exchange = EventsExchange(settings.amqp_urls)
    with open_database() as engine, cancellable() as cancelled:
        clock = DatabaseClock(engine)
        bounds = _find_bounds(engine, exchange, settings.retention_days, since, clock.now_us())
        history = worker.open_platform_history(settings.genesys, engine, clock)
        reconciliation = Reconciliation(engine, clock, history, exchange, bounds, cancelled)
        operator = None if dry_run else os_user()
        _compare(reconciliation, conversations, operator, is_waived=options["despite_mismatch"])
        left = reconciliation.wait_for_missing(0.0 if dry_run else options["wait_seconds"])
        report(reconciliation.findings, bounds, left)
    raise SystemExit(1 if cancelled.is_set() else exit_status(reconciliation.findings, left))


def _compare(
    reconciliation: Reconciliation, conversations: tuple[str, ...], operator: str | None, *, is_waived: bool
) -> None:
    with progress_bar() as bar:
        task = bar.add_task("Listing", total=None, note="")
        ids = sorted(set(conversations)) or reconciliation.list_conversations()
        bar.update(task, description="Conversations", total=len(ids), completed=0)
        is_of_all = not conversations
        for done in reconciliation.compare(ids, operator, is_waived=is_waived, is_of_all=is_of_all):
            bar.update(task, completed=done, note=f"{len(reconciliation.findings.missing)} missing")


def exit_status(findings: Findings, left: list[ReconstructedEvent]) -> int:
    """Return the exit status, as the command's help lists them."""
    if findings.mismatch is not None:
        return 6
    if left:
        return 4
    if findings.unlisted is not None or findings.passed_over or findings.unreadable:
        return 5
    return 3 if findings.missing else 0


def _find_bounds(
    engine: Engine, exchange: EventsExchange, retention_days: int, since: datetime | None, now_us: int
) -> Bounds:
    first_us = transact(engine, read_watermarks).first_from_us
    kept_from_us = now_us - retention_days * worker.DAY_US
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
    return Bounds(from_us, worker.safe_cutoff(engine, exchange, now_us))


def report(findings: Findings, bounds: Bounds, left: list[ReconstructedEvent]) -> None:
    """Print the counts, the skipped conversations and the gaps."""
    waiting = {event.key for event in left}
    gaps = [
        {
            "conversation": missing.event.conversation_id,
            "type": missing.event.event_type,
            "message": missing.event.platform_message_id,
            "status": missing.event.receipt_status,
            "occurred": moment_of(missing.event.occurred_at_us).isoformat(),
            "recovered": missing.key not in waiting,
        }
        for missing in findings.missing
    ]
    names = ("conversation", "why", "reason")
    passed_over = [dict(zip(names, one, strict=True)) for one in findings.passed_over]
    reasons = Counter(why for _, why, _ in findings.passed_over)
    facts = {
        "from": moment_of(bounds.from_us).isoformat(),
        "to": moment_of(bounds.to_us).isoformat(),
        **{name: getattr(findings, name) for name in ("conversations", "unknown", "compared", "unreadable")},
        **{name: reasons[name] for name in ("refused", "failed")},
        "missing": len(gaps),
        "recovered": len(gaps) - len(left),
    }
    faults = {"unlisted": findings.unlisted, "mismatch": findings.mismatch}
    if show_json({**facts, **faults, "passed_over": passed_over, "gaps": gaps}):
        return
    print_table(("", ""), facts.items())
    for sentence, reason in (
        ("Conversations of which we have no event were not compared", findings.unlisted),
        ("Nothing more was published", findings.mismatch),
    ):
        if reason is not None:
            click.echo(f"{sentence}: {reason}", err=True)
    for title, rows in (("Passed over", passed_over), ("Gaps", gaps)):
        if rows:
            print_table(tuple(rows[0]), [row.values() for row in rows], title=title)
