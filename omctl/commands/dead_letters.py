"""omctl dead-letters: list what could not be processed, replay it, discard it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from omctl.cancelling import cancellable
from omctl.console import json_option, print_body, print_json, print_table
from omctl.database import operators_database
from omctl.dead_letters import (
    Order,
    Session,
    as_plain,
    choice_options,
    dead_letter_session,
    order_options,
    print_letters,
    print_summary,
    scan,
    windows,
)
from omctl.intervening import Terms, begin, carry_out, report
from omctl.pace import Pace
from workers.db.engine import transact
from workers.db.interventions import (
    DISCARD_LETTERS,
    REPLAY_LETTERS,
    LetterChoice,
    count_open_letters,
    open_letters,
    recorded_letter,
)

if TYPE_CHECKING:
    from sqlalchemy import Engine

SHOWN: Final = 50
"""Letters that an operator sees at once; the summary counts all."""

MAX_SCANNED: Final = 10_000
"""Messages that are read before a preview, if some may have no record: a second or two."""

EXAMPLES: Final = """\b
Examples:
  omctl dead-letters list --code handler_failed --since 2h
  omctl dead-letters show 3f2a…
  omctl dead-letters replay --code handler_failed --rate 50 --reason "CRM is back"
  omctl dead-letters discard 3f2a… --reason "a test of ours"
"""


@click.group("dead-letters", epilog=EXAMPLES)
def dead_letters() -> None:
    """List what could not be processed, replay it, discard it."""


@dead_letters.command("list")
@choice_options
@click.option(
    "--limit", type=click.IntRange(0), default=SHOWN, show_default=True, help="Show this many; 0: all."
)
@click.option("--scan", "with_scan", is_flag=True, help="First record what is in the queue without a record.")
@json_option
def list_letters(*, limit: int, with_scan: bool, as_json: bool, **filters: Any) -> None:
    """List the dead letters that are neither replayed nor discarded, from their records.

    The queue is not read, so this works while another omctl works with it. A message that was put into the
    queue by hand has no record until --scan, a replay or a discard reads it.
    """
    choice = LetterChoice(**filters)
    if with_scan:
        with dead_letter_session() as opened:
            scan(opened)
    with operators_database() as engine:
        counts = transact(engine, lambda connection: count_open_letters(connection, choice))
        shown = transact(engine, lambda connection: open_letters(connection, choice, limit or None))
    if as_json:
        total = sum(count for *_, count in counts)
        print_json({"letters": [as_plain(letter) for letter in shown], "total": total})
        return
    print_summary(counts, "are open")
    print_letters(shown)


@dead_letters.command()
@click.argument("message_id")
@click.option(
    "--body",
    "with_body",
    is_flag=True,
    help="Look for the body in the queue and print it as it came: it may hold personal data.",
)
@json_option
def show(message_id: str, *, with_body: bool, as_json: bool) -> None:
    """Show the record of one dead letter."""
    with operators_database() as engine:
        letter = transact(engine, lambda connection: recorded_letter(connection, message_id))
    body = _body_of(message_id) if with_body else None
    if letter is None and body is None:
        click.echo(f"No dead letter {message_id} is recorded.", err=True)
        raise SystemExit(1)
    described = as_plain(letter) if letter is not None else {"message_id": message_id}
    if as_json:
        print_json(described | ({"body": body.decode(errors="backslashreplace")} if body is not None else {}))
        return
    print_table(("", ""), [(name, str(value)) for name, value in described.items()])
    if body is not None:
        print_body(body)


def _body_of(message_id: str) -> bytes | None:
    with dead_letter_session() as opened:
        for held in opened.queue.windows():
            for letter in held:
                if letter.envelope.identity == message_id:
                    return letter.envelope.body
    return None


@dead_letters.command()
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
@choice_options
@click.option(
    "--rate",
    type=click.FloatRange(0),
    default=100.0,
    show_default=True,
    help="Letters per second; 0: as fast as it goes.",
)
@click.option("--again", is_flag=True, help="Have events that took effect already take effect once more.")
@order_options
def replay(**options: Any) -> None:
    """Replay dead letters: all, those named, or those that the options choose.

    Each is published to the events' exchange, and removed when the broker has confirmed it. What took effect
    before is refused by its key, unless --again. What a destination did not accept was processed, and stays.
    Nothing that arrives meanwhile is touched; what is passed over goes to the end of the queue. Ctrl-C stops
    between two letters; the same command goes on where it stopped.
    """
    terms, most, filters = _apart(options)
    _work_off(LetterChoice(**filters, with_destinations=False), REPLAY_LETTERS, terms, most)


@dead_letters.command()
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
@choice_options
@order_options
def discard(**options: Any) -> None:
    """Remove dead letters for good: all, those named, or those that the options choose.

    Their bodies are kept in the table discarded_letters for OM_PAYLOAD_RETENTION_DAYS.
    """
    terms, most, filters = _apart(options)
    _work_off(LetterChoice(**filters), DISCARD_LETTERS, terms, most)


def _apart(options: dict[str, Any]) -> tuple[Terms, int | None, dict[str, Any]]:
    """Return the terms, the most letters, and the options that choose among the letters."""
    most = options.pop("most")
    terms = {name: value for name, value in options.items() if name in Terms.__dataclass_fields__}
    return Terms(**terms), most, {name: value for name, value in options.items() if name not in terms}


def _work_off(choice: LetterChoice, action: str, terms: Terms, most: int | None) -> None:
    """Preview, ask, carry out, report; exit with 1 if none of the letters that were named is open."""
    terms.require_reason()
    verb = "replayed" if action == REPLAY_LETTERS else "discarded"
    with dead_letter_session() as opened:
        counts = _preview(opened, choice, terms, "would be " + verb if terms.dry_run else "chosen")
        chosen = min(sum(count for *_, count in counts), most or sum(count for *_, count in counts))
        if terms.dry_run or not chosen:
            report(terms, None, chosen, verb)
            raise SystemExit(1 if choice.message_ids and not chosen else 0)
        if not terms.yes:
            with opened.republisher.attended():
                click.confirm(f"{chosen} letters will be {verb}; go on?", abort=True, err=True)
        order = Order(choice=choice, action=action, again=terms.again, most=most, rate=terms.rate)
        run = begin(opened.engine, terms, action, choice.as_json(), chosen)
        with cancellable() as cancelled:
            pace = Pace(terms.rate, opened.republisher.idle, cancelled)
            try:
                carry_out(opened.engine, run, windows(opened, order, run), pace, cancelled)
            finally:
                # A broker or a database that goes away in the middle needs it as much as Ctrl-C does.
                if run.is_cancelled:
                    click.echo(f"{run.done} of {chosen} {verb}; the same command goes on.", err=True)
    report(terms, run, chosen, verb)


def _preview(
    opened: Session, choice: LetterChoice, terms: Terms, verb: str
) -> list[tuple[str, str | None, int]]:
    """Print and return how many letters are chosen, by code and event type."""
    everything = transact(opened.engine, lambda connection: count_open_letters(connection, LetterChoice()))
    if sum(count for *_, count in everything) < (messages := opened.queue.count()) <= MAX_SCANNED:
        scan(opened)
    for message_id in choice.message_ids:
        _report_unavailable(opened.engine, message_id, choice)
    counts = transact(opened.engine, lambda connection: count_open_letters(connection, choice))
    if not terms.as_json:
        print_summary(counts, verb)
        click.echo(f"The queue holds {messages} messages.")
    return counts


def _report_unavailable(engine: Engine, message_id: str, choice: LetterChoice) -> None:
    letter = transact(engine, lambda connection: recorded_letter(connection, message_id))
    if letter is None or letter.decided_at is not None:
        click.echo(f"No dead letter {message_id} is open.", err=True)
    elif letter.destination is not None and not choice.with_destinations:
        click.echo(
            f"{message_id} was processed, {letter.destination} did not accept it: "
            f"omctl destinations resend {letter.destination}",
            err=True,
        )
