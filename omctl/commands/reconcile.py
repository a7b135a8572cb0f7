"""omctl reconcile: compare with the platform's history now, and have what is missing take effect."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import click

from omctl.cancelling import cancellable
from omctl.console import dry_run_option, json_option, print_json, print_table, progress_bar
from omctl.database import in_words
from omctl.moments import MOMENT
from omctl.person import person
from omctl.reconciling import Reconciling
from workers.db.engine import DatabaseClock, make_engine, transact
from workers.db.interventions import OPERATOR_SESSION
from workers.db.reconcile import read_watermarks
from workers.parsing import microseconds_of, moment_of
from workers.reconcile import (
    DAY_US,
    Bounds,
    EventsExchange,
    open_platform_history,
    read_reconcile_settings,
    safe_cutoff,
)

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import Engine

    from workers.reconcile import ReconcileSettings, ReconstructedEvent

RECOVERED: Final = 3
MISSING: Final = 4
PARTIAL: Final = 5
MISMATCH: Final = 6
PATIENCE_SECONDS: Final = 30.0

EXAMPLES: Final = """\b
Examples:
  omctl reconcile --since 2h --dry-run
  omctl reconcile --conversation 5d0d331e-… --since 3d
  omctl reconcile --since 1d --json || mail -s "events were missing" operators

\b
Exit status:
  0  nothing was missing
  3  something was missing, and all of it has taken effect now
  4  something is missing still: --dry-run, not processed in time, or a dead letter
  5  not all was compared: the platform lists no conversations to this OAuth client, so that those
     never heard of were left out, or it refuses to show some, or has no answer for some, or some
     events of its history cannot be compared (unreadable); nothing is missing still of the others
  6  the comparison itself is wrong: the history lacks more than a twentieth of our own events, so
     nothing more was published
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--since",
    type=MOMENT,
    metavar="MOMENT",
    help="What happened at MOMENT or later: ISO 8601, or 2h for two hours ago. [default: since the reconcile"
    " worker ran first]",
)
@click.option("--conversation", "conversations", multiple=True, help="Only this one; may be given again.")
@click.option(
    "--wait",
    "patience",
    type=click.FloatRange(0),
    default=PATIENCE_SECONDS,
    show_default=True,
    help="Seconds to wait until what was missing is processed.",
)
@click.option(
    "--despite-mismatch",
    is_flag=True,
    help="Publish what is missing even if the history lacks our own events; the reconcile worker goes on.",
)
@dry_run_option
@json_option
def reconcile(
    *,
    since: datetime | None,
    conversations: tuple[str, ...],
    patience: float,
    despite_mismatch: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Compare what was processed with the platform's history, and recover what is missing.

    Within the request budget of all hosts, and whatever the reconcile worker does meanwhile. Events of the
    last three minutes may be on their way and are left out. After a mismatch the reconcile worker waits until
    this command has compared everything without one, or with --despite-mismatch.
    """
    settings = read_reconcile_settings()
    engine = make_engine(settings.database_url, OPERATOR_SESSION)
    exchange = EventsExchange(settings.amqp_urls)
    try:
        with in_words(), cancellable() as cancelled:
            clock = DatabaseClock(engine)
            bounds = _bounds(engine, exchange, settings, since, clock.now_us())
            reconciling = Reconciling(
                engine,
                clock,
                open_platform_history(settings.genesys, engine, clock),
                exchange=exchange,
                bounds=bounds,
                cancelled=cancelled,
            )
            _run(reconciling, conversations, dry_run=dry_run, is_waived=despite_mismatch)
            left = reconciling.still_missing(0.0 if dry_run else patience)
            _tell(reconciling, bounds, left, as_json=as_json)
            if cancelled.is_set():
                raise SystemExit(1)
    finally:
        engine.dispose()
    status = _status_of(reconciling, left)
    if status:
        raise SystemExit(status)


def _status_of(reconciling: Reconciling, left: list[ReconstructedEvent]) -> int:
    tally = reconciling.tally
    if tally.mismatch is not None:
        return MISMATCH
    if left:
        return MISSING
    if tally.unlisted is not None or tally.refused or tally.failed or tally.unreadable:
        return PARTIAL
    return RECOVERED if tally.missing else 0


def _bounds(
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
        raise click.UsageError("Say since when: the reconcile worker has not run yet.")
    if from_us < kept_from_us:
        raise click.UsageError("What is older than OM_RETENTION_DAYS is deleted, and would look missing.")
    return Bounds(from_us, safe_cutoff(engine, exchange, now_us))


def _run(reconciling: Reconciling, conversations: tuple[str, ...], *, dry_run: bool, is_waived: bool) -> None:
    with progress_bar() as bar:
        task = bar.add_task("Listing", total=None, note="")
        ids = sorted(set(conversations)) or reconciling.conversations()
        bar.update(task, description="Conversations", total=len(ids), completed=0)
        record = None if dry_run else reconciling.begin(person(), secrets.token_hex(8))
        done = 0
        for done in reconciling.compare(ids, record, is_waived=is_waived):
            bar.update(task, completed=done, note=f"{len(reconciling.tally.missing)} missing")
        if record is not None and (done == len(ids) or reconciling.tally.mismatch is not None):
            reconciling.finish(record, person(), is_of_all=not conversations)


def _tell(reconciling: Reconciling, bounds: Bounds, left: list[ReconstructedEvent], *, as_json: bool) -> None:
    tally = reconciling.tally
    counts = {
        "conversations": tally.conversations,
        "unknown": tally.unknown,
        "compared": tally.compared,
        "unreadable": tally.unreadable,
        "refused": len(tally.refused),
        "failed": len(tally.failed),
        "missing": len(tally.missing),
        "recovered": len(tally.missing) - len(left),
    }
    waiting = {each.key for each in left}
    gaps = [_gap_of(each, is_recovered=each.key not in waiting) for each in tally.missing]
    passed_over: list[dict[str, Any]] = [
        {"conversation": conversation_id, "why": why, "reason": reason}
        for why, reasons in (("refused", tally.refused), ("failed", tally.failed))
        for conversation_id, reason in reasons.items()
    ]
    interval = {"from": moment_of(bounds.from_us).isoformat(), "to": moment_of(bounds.to_us).isoformat()}
    if as_json:
        print_json(
            {
                **interval,
                **counts,
                "unlisted": tally.unlisted,
                "mismatch": tally.mismatch,
                "passed_over": passed_over,
                "gaps": gaps,
            }
        )
        return
    print_table(("", ""), [(name, str(value)) for name, value in (*interval.items(), *counts.items())])
    if tally.unlisted is not None:
        click.echo(f"Conversations never heard of were not compared: {tally.unlisted}", err=True)
    if tally.mismatch is not None:
        click.echo(f"Nothing more was published: {tally.mismatch}", err=True)
    for title, rows in (("Passed over", passed_over), ("Gaps", gaps)):
        if rows:
            print_table(tuple(rows[0]), [[str(value) for value in row.values()] for row in rows], title=title)


def _gap_of(missing: ReconstructedEvent, *, is_recovered: bool) -> dict[str, Any]:
    event = missing.event
    return {
        "conversation": event.conversation_id,
        "type": event.event_type,
        "message": event.platform_message_id,
        "status": event.receipt_status,
        "occurred": moment_of(event.occurred_at_us).isoformat(),
        "recovered": is_recovered,
    }
