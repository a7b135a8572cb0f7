"""omctl reconcile: compare our records with the platform's history, and recover missing events."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import product
from threading import Event
from typing import Any, Final, TypeVar

import click
from sqlalchemy import Engine

from messaging.errors import RetryLaterError
from omctl.connections import open_database
from omctl.interface import Command, change_options, print_table, progress_bar, show_json, since_option
from omctl.interventions import cancellable, os_user
from workers import reconcile as worker
from workers.db import reconcile as records
from workers.db.engine import DatabaseClock, transact
from workers.genesys import PlatformRefusedError, open_client
from workers.parsing import microseconds_of, moment_of
from workers.reconcile import Bounds, Comparison, ReconcileSettings, ReconstructedEvent

Result = TypeVar("Result")

PAGE: Final = 1000
"""The maximum number of conversations that one query of our own tables returns."""

MAX_ATTEMPTS: Final = 5
"""The number of attempts without an answer after which the platform counts as unavailable."""

POLL_SECONDS: Final = 0.5

SENTENCES: Final = {
    "unlisted": "Conversations for which we have no events were not compared",
    "mismatch": "Nothing more was published",
    "undecided": "The reconcile worker still waits",
    "cancelled": "The result is incomplete",
}


@dataclass(slots=True)
class Findings:
    """The results of a comparison. SENTENCES introduces the last four fields in the report."""

    results: list[worker.CheckResult] = field(default_factory=list)
    missing: list[ReconstructedEvent] = field(default_factory=list)
    unlisted: str | None = None
    mismatch: str | None = None
    undecided: str | None = None
    cancelled: str | None = None

    def add(self, result: worker.CheckResult) -> None:
        """Add the result of one conversation."""
        self.results.append(result)
        self.missing.extend(result.missing)


@click.command(cls=Command)
@since_option("Happened")
@click.option("--conversation", "conversations", multiple=True, help="Only this one; repeatable.")
@click.option(
    "--wait", "wait_seconds", type=click.FloatRange(0), default=30.0, show_default=True,
    help="Seconds to wait until missing events are processed.",
)  # fmt: skip
@click.option(
    "--despite-mismatch", is_flag=True,
    help="Publish even if the history lacks our own events; without --conversation, the worker continues.",
)  # fmt: skip
@change_options
def reconcile(
    *, since: datetime | None, conversations: tuple[str, ...], dry_run: bool, **options: Any
) -> None:
    """Compare processed events with the platform's history, and recover missing ones.

    Without --since, it begins where the reconcile worker's first comparison began. It stays within the
    request budget that all hosts share, and can run beside the worker. It also reads quiet conversations that
    might be open, but omits events of the last three minutes, which might be on their way. After a mismatch,
    the worker waits until a comparison of 50 or more of our events finds none, or for --despite-mismatch.

    Examples:
      omctl reconcile --since 2h --dry-run
      omctl reconcile --conversation 5d0d331e-… --since 3d
      omctl reconcile --since 1d --json || mail -s "events were missing" operators

    Exit status:
      0  nothing was missing
      1  the command was cancelled or reported an error
      3  events were missing, and all of them have now taken effect
      4  events are still missing: --dry-run, not processed in time, or dead letters
      5  not everything could be compared, and no compared event is still missing:
         the platform does not list conversations for this OAuth client, refuses
         or fails to show some of them, or has some events that are unreadable
      6  the comparison cannot be right: the history lacks more than a twentieth
         of our own events, so nothing more was published
    """
    settings, findings = ReconcileSettings.from_environment(), Findings()
    with open_database() as engine, cancellable() as cancelled:
        comparison = _open_comparison(engine, settings, since, findings)
        comparison.ignores_mismatch = options["despite_mismatch"]
        _compare(comparison, findings, set(conversations), None if dry_run else os_user(), cancelled)
        seconds = 0.0 if dry_run else options["wait_seconds"]
        left = _wait_for_missing(comparison, findings.missing, seconds, cancelled)
        report(findings, comparison.bounds, left)
    raise SystemExit(1 if cancelled.is_set() else exit_status(findings, left))


def _open_comparison(
    engine: Engine, settings: ReconcileSettings, since: datetime | None, findings: Findings
) -> Comparison:
    """Return a comparison of the requested period. It changes nothing until it is given a record."""
    clock, exchange = DatabaseClock(engine), worker.EventsExchange(settings.amqp_urls)
    now_us, first_us = clock.now_us(), transact(engine, records.read_watermarks).first_from_us
    kept_from_us = now_us - settings.retention_days * worker.DAY_US
    if since is None and first_us is None:
        raise click.UsageError("--since is required: the reconcile worker has not run yet.")
    from_us = max(first_us or 0, kept_from_us) if since is None else microseconds_of(since)
    if from_us < kept_from_us:
        text = "beyond OM_RETENTION_DAYS: older events are deleted, and would look missing."
        raise click.UsageError(f"--since reaches back {text}")
    bounds = Bounds(from_us, worker.safe_cutoff(engine, exchange, now_us))
    history = worker.PlatformHistory(open_client(settings.genesys, engine, clock, is_background=True))
    return Comparison(engine, clock, history, exchange, bounds, findings.add)


def _compare(
    comparison: Comparison, findings: Findings, chosen: set[str], operator: str | None, cancelled: Event
) -> None:
    """Compare events. Given an *operator*, publish missing ones and, if justified, decide on mismatches."""
    with progress_bar() as bar:
        task = bar.add_task("Listing", total=None, note="")
        ids = sorted(chosen) or _list_conversations(comparison, findings, cancelled)
        bar.update(task, description="Conversations", total=len(ids), completed=0)
        waiting = map(records.KnownConversation, ids)
        comparison.next_conversation = lambda _: next(waiting, None)
        if operator is not None and not cancelled.is_set():
            comparison.begin(operator)
        while not cancelled.is_set() and _retry(comparison.step, cancelled):
            bar.update(task, completed=len(findings.results), note=f"{len(findings.missing)} missing")
    mismatch = findings.mismatch = comparison.mismatch
    findings.cancelled = "it was cancelled" if cancelled.is_set() else None
    is_complete = mismatch is not None or (findings.cancelled is None and len(findings.results) == len(ids))
    if operator is not None and comparison.record is not None and is_complete:
        decide = partial(records.decide_mismatches, operator=operator)
        is_decided = comparison.ignores_mismatch or comparison.ours >= worker.MIN_COMPARED
        works = [decide] if is_decided and mismatch is None and not chosen else []
        now = moment_of(comparison.clock.now_us())
        comparison.record.update(*works, finished_at=now, unlisted=findings.unlisted, mismatch=mismatch)
    if transact(comparison.engine, records.read_watermarks).is_blocked:
        findings.undecided = (
            "without --conversation or --dry-run, compare 50 events or add --despite-mismatch"
        )


def _list_conversations(comparison: Comparison, findings: Findings, cancelled: Event) -> list[str]:
    """Return our conversations that might have events in the period, and the platform's if it lists them."""
    found, after, page, is_last = set[str](), "", 1, False
    interval = (comparison.bounds.from_us, comparison.bounds.to_us)
    since = moment_of(comparison.bounds.from_us)
    while ids := transact(comparison.engine, records.read_conversation_ids, after, since, PAGE):
        found.update(ids)
        after = ids[-1]
    try:
        while not is_last and not cancelled.is_set():
            ids, is_last = _retry(partial(comparison.history.list_conversations, *interval, page), cancelled)
            found.update(ids)
            page += 1
    except PlatformRefusedError as error:
        if not error.is_forbidden:
            raise
        findings.unlisted = str(error)
    return sorted(found)


def _retry(work: Callable[[], Result], cancelled: Event) -> Result:
    """Call *work* until the platform responds, but at most MAX_ATTEMPTS times."""
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return work()
        except RetryLaterError as error:
            if cancelled.wait(error.delay):
                raise
    return work()


def _wait_for_missing(
    comparison: Comparison, missing: list[ReconstructedEvent], seconds: float, cancelled: Event
) -> list[ReconstructedEvent]:
    """Wait up to *seconds* until the *missing* events are processed, and return those that are not."""
    deadline = comparison.clock.monotonic() + seconds
    while True:
        keys = {event.key for event in missing}
        known = transact(comparison.engine, records.find_processed_keys, keys)
        missing = [event for event in missing if event.key not in known]
        if not missing or comparison.clock.monotonic() >= deadline or cancelled.wait(POLL_SECONDS):
            return missing


def exit_status(findings: Findings, left: list[ReconstructedEvent]) -> int:
    """Return the exit status for these findings, as the command's help defines it."""
    if findings.mismatch is not None:
        return 6
    if left:
        return 4
    is_partial = any(not result.is_compared or result.unreadable for result in findings.results)
    if findings.unlisted is not None or is_partial:
        return 5
    return 3 if findings.missing else 0


def report(findings: Findings, bounds: Bounds, left: list[ReconstructedEvent]) -> None:
    """Print the counts, the skipped conversations and the gaps."""
    waiting, results = {event.key for event in left}, findings.results
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
    passed_over = [
        {"conversation": result.conversation_id, "why": why, "reason": reason}
        for result, why in product(results, ("refused", "failed"))
        if (reason := getattr(result, why)) is not None
    ]
    facts = {
        "from": moment_of(bounds.from_us).isoformat(),
        "to": moment_of(bounds.to_us).isoformat(),
        "conversations": sum(result.is_compared for result in results),
        "unknown": sum(result.state == records.STATE_UNKNOWN for result in results),
        **{name: sum(getattr(result, name) for result in results) for name in ("compared", "unreadable")},
        **{why: sum(row["why"] == why for row in passed_over) for why in ("refused", "failed")},
        "missing": len(gaps),
        "recovered": len(gaps) - len(left),
    }
    faults = {name: getattr(findings, name) for name in SENTENCES}
    if show_json({**facts, **faults, "passed_over": passed_over, "gaps": gaps}):
        return
    print_table(("", ""), facts.items())
    for name, sentence in SENTENCES.items():
        if faults[name] is not None:
            click.echo(f"{sentence}: {faults[name]}", err=True)
    for title, rows in (("Passed over", passed_over), ("Gaps", gaps)):
        if rows:
            print_table(tuple(rows[0]), [row.values() for row in rows], title=title)
