"""omctl dead-letters: list, replay or discard events that could not be processed or delivered."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any, Final

import click
from sqlalchemy import Row

from omctl import interface
from omctl.connections import DeadLetterSession, in_database, open_dead_letters
from omctl.interface import Group, format_time, is_json, json_option, print_table, show_json
from omctl.interventions import Run, Terms, carry_out
from omctl.repair.dead_letter_windows import Order, process_windows, record_unrecorded
from workers.db import interventions
from workers.db.engine import transact
from workers.db.interventions import Action, DeadLetterFilter

MAX_SCANNED: Final = 10_000
"""Before a preview, a queue of at most this depth is read if it might contain messages without a record."""

ids_argument = click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
limit_option = click.option("--limit", type=click.IntRange(1), help="Only this many, the oldest first.")


@click.group("dead-letters", cls=Group)
def dead_letters() -> None:
    """List, replay or discard events that could not be processed or delivered.

    Examples:
      omctl dead-letters list --code handler_failed --since 2h
      omctl dead-letters show 3f2a…
      omctl dead-letters replay --code handler_failed --rate 50 --reason "CRM is back"
      omctl dead-letters discard 3f2a… --reason "a test of ours"
    """


@dead_letters.command("list")
@interface.dead_letter_options
@click.option(
    "--limit", type=click.IntRange(0), default=50, show_default=True, help="Show this many; 0: all."
)
@click.option(
    "--scan", "with_scan", is_flag=True, help="First record the messages in the queue that have no record."
)
@json_option
def list_(*, limit: int, with_scan: bool, **filters: Any) -> None:
    """List the dead letters that have been neither replayed nor discarded, from their records.

    The queue is not read, so this works while another omctl is using it. A message that an operator put into
    the queue has no record until --scan, a replay or a discard reads it.
    """
    selected = DeadLetterFilter(**filters)
    if with_scan:
        with open_dead_letters() as session:
            record_unrecorded(session)
    counts, shown = in_database(
        lambda connection: (
            interventions.count_open_dead_letters(connection, selected),
            interventions.list_open_dead_letters(connection, selected, limit or None),
        )
    )
    total = sum(count for *_, count in counts)
    if show_json({"dead_letters": [_as_dict(row) for row in shown], "total": total}):
        return
    none = "open dead letter matches" if any(filters.values()) else "dead letter is open"
    _print_counts(counts, "open", f"No {none}.")
    for row in shown:
        event_type = (row.event_type or "unknown type").rpartition(":")[2]
        source = f"  destination {row.destination}" if row.destination else ""
        line = f"{row.message_id}  {format_time(row.recorded_at)}  {row.code}  {event_type}{source}"
        reason = interface.fold(row.reason, "    ", "    ")
        click.echo(interface.visible(f"{line}\n{reason}"))


@dead_letters.command()
@click.argument("message_id")
@click.option(
    "--body", "with_body", is_flag=True,
    help="Find the body in the queue and print it unchanged: it may hold personal data.",
)  # fmt: skip
@json_option
def show(message_id: str, *, with_body: bool) -> None:
    """Show the record of one dead letter; see also `omctl find`."""
    row = in_database(interventions.find_dead_letter, message_id)
    body = None
    if with_body:
        with open_dead_letters() as session:
            messages = (message.envelope for held in session.queue.windows() for message in held)
            body = next((found.body for found in messages if found.identity == message_id), None)
    if row is None and body is None:
        raise click.ClickException(f"No dead letter {message_id} is recorded.")
    record = _as_dict(row) if row is not None else {"message_id": message_id}
    text = None if body is None else body.decode(errors="backslashreplace")
    if show_json(record | ({"body": text} if with_body else {})):
        return
    known = [(name.replace("_", " "), str(value)) for name, value in record.items() if value is not None]
    print_table(("", ""), known)
    if body is not None:
        interface.print_body(body)


@dead_letters.command()
@ids_argument
@interface.dead_letter_options
@interface.rate_option
@interface.again_option
@limit_option
@interface.intervention_options
def replay(**options: Any) -> None:
    """Replay dead letters: all, those named, or those that the options select.

    Each is published to the events' exchange, and removed once the broker has confirmed it. An event that
    already took effect has no second effect unless --again is given. Dead letters of destinations stay: their
    events have been processed. Dead letters that arrive in the meantime are left alone; those not selected
    move to the end of the queue. Ctrl-C stops after the current one; repeat the command to continue.
    """
    _process(Action.REPLAY_DEAD_LETTERS, "replayed", options)


@dead_letters.command()
@ids_argument
@interface.dead_letter_options
@limit_option
@interface.intervention_options
def discard(**options: Any) -> None:
    """Remove dead letters permanently: all, those named, or those that the options select.

    Their bodies are kept in the table discarded_dead_letters for OM_PAYLOAD_RETENTION_DAYS.
    """
    _process(Action.DISCARD_DEAD_LETTERS, "discarded", options)


def _process(action: Action, verb: str, options: dict[str, Any]) -> None:
    """Preview, confirm, carry out and report the action. Exit with 1 if no named dead letter is open."""
    limit, rate = options.pop("limit"), options.pop("rate", 0.0)
    terms = Terms.take(options)
    terms.require_reason()
    is_discard = action is Action.DISCARD_DEAD_LETTERS
    selected = DeadLetterFilter(**options, with_destinations=is_discard, with_resent=is_discard)
    with open_dead_letters() as session:
        total = _preview(session, selected)
        selection = interventions.encode_selection(selected)
        run = Run(action, min(total, limit or total), selection, verb)
        order = Order(selected=selected, again=terms.again, limit=limit, rate=rate)
        carry_out(
            session.engine, terms, run,
            lambda cancelled: nullcontext(process_windows(session, order, run, cancelled)),
            question=f"{run.chosen} dead letters will be {verb}",
            asking=session.queue.publisher.keep_alive(),
            hint="{run.done} of {run.chosen} {run.verb}; repeat the command to continue.",
        )  # fmt: skip
    if selected.message_ids and not run.chosen:
        raise SystemExit(1)


def _preview(session: DeadLetterSession, selected: DeadLetterFilter) -> int:
    """Print how many dead letters are selected, by code and event type, and return the total."""

    def count(selected: DeadLetterFilter) -> list[tuple[str, str | None, int]]:
        return transact(session.engine, interventions.count_open_dead_letters, selected)

    messages = session.queue.count()
    if sum(number for *_, number in count(DeadLetterFilter())) < messages <= MAX_SCANNED:
        record_unrecorded(session)
    for message_id in selected.message_ids:
        row = transact(session.engine, interventions.find_dead_letter, message_id)
        if row is None or (row.decided_at and not count(replace(selected, message_ids=(message_id,)))):
            click.echo(f"No dead letter {message_id} is open.", err=True)
        elif row.destination is not None and not selected.with_destinations:
            text = f"{message_id} was processed, but destination {row.destination} did not accept it"
            click.echo(f"{text}: omctl destinations resend {row.destination}", err=True)
    counts = count(selected)
    if not is_json():
        _print_counts(counts, "selected", "No dead letter is selected.")
        click.echo(f"The queue holds {messages} messages.")
    return sum(number for *_, number in counts)


def _print_counts(counts: Sequence[tuple[str, str | None, int]], state: str, empty: str) -> None:
    total = sum(count for *_, count in counts)
    print_table(("code", "type", "number"), counts, title=f"{total} dead letters {state}", empty=empty)


def _as_dict(row: Row[Any]) -> dict[str, Any]:
    return dict(row._mapping)  # noqa: SLF001  # SQLAlchemy's public interface for this
