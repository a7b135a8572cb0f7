"""omctl dead-letters: look at what could not be processed, run it again, discard it."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click

from messaging.clock import SystemClock
from messaging.dead_letter_queue import dead_letters_in_hand
from messaging.environment import Environment
from omctl.cancelling import cancellable
from omctl.console import json_option, print_json, print_table, progress_bar
from omctl.database import database_url, in_words
from omctl.dead_letters import (
    Choice,
    Order,
    WorkingOff,
    as_plain,
    choice_options,
    choose,
    order_options,
    print_letters,
    print_summary,
    read_dead_letters,
)
from omctl.pace import Pace
from omctl.person import person
from workers.tables import DISCARD_LETTERS, OPERATOR_SESSION, REPLAY_LETTERS, Intervention, engine_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from messaging.dead_letter_queue import DeadLetterQueue, Republisher
    from omctl.dead_letters import Progress

SHOWN: Final = 50
"""Letters that a person sees at once; the summary counts all."""

EXAMPLES: Final = """\b
Examples:
  omctl dead-letters list --code handler_failed --since 2h
  omctl dead-letters show 3f2a…
  omctl dead-letters replay --code handler_failed --rate 50 --reason "CRM is back"
  omctl dead-letters discard 3f2a… --reason "a test of ours"
"""


@dataclass(frozen=True, slots=True)
class _Hand:
    """The dead letters, what runs them again, what is on record of them."""

    queue: DeadLetterQueue
    republisher: Republisher
    engine: Engine


@dataclass(frozen=True, slots=True)
class Wish:
    """What the command line of replay and discard says."""

    choice: Choice
    action: str
    reason: str
    most: int | None
    rate: float
    again: bool
    yes: bool
    dry_run: bool
    as_json: bool


@click.group("dead-letters", epilog=EXAMPLES)
def dead_letters() -> None:
    """Look at what could not be processed, run it again, discard it."""


@dead_letters.command("list")
@choice_options
@click.option(
    "--limit", type=click.IntRange(0), default=SHOWN, show_default=True, help="Show so many; 0: all."
)
@json_option
def list_letters(*, limit: int, as_json: bool, **filters: Any) -> None:
    """List the dead letters: each once, however many copies of it the broker has made.

    The queue is left as it was. While it is looked at, for some seconds, nobody else can work with it.
    """
    with _in_hand() as hand:
        chosen = choose(read_dead_letters(hand.queue, hand.engine), Choice(**filters))
    shown = chosen[: limit or None]
    if as_json:
        print_json({"letters": [as_plain(each) for each in shown], "total": len(chosen)})
        return
    print_summary(chosen, "in the queue")
    print_letters(shown)


@dead_letters.command()
@click.argument("message_id")
@click.option(
    "--body", "with_body", is_flag=True, help="Print the body too, as it came: it may hold personal data."
)
@json_option
def show(message_id: str, *, with_body: bool, as_json: bool) -> None:
    """Show one dead letter."""
    with _in_hand() as hand:
        letter = read_dead_letters(hand.queue, hand.engine).get(message_id)
    if letter is None:
        click.echo(f"No dead letter {message_id} is in the queue.", err=True)
        raise SystemExit(1)
    described = as_plain(letter)
    if with_body:
        described["body"] = letter.body.decode(errors="backslashreplace")
    if as_json:
        print_json(described)
    else:
        print_table(("", ""), [(name, str(value)) for name, value in described.items()])


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
def replay(
    *,
    rate: float,
    again: bool,
    reason: str,
    most: int | None,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    **filters: Any,
) -> None:
    """Run dead letters again: all, those named, or those that the options choose.

    Each is published to the events' exchange, and removed when the broker has confirmed it. What took effect
    before is refused by its key, unless --again. What a destination did not take was processed, and stays.
    Nothing that arrives meanwhile is touched. Ctrl-C stops between two letters; the same command goes on
    where it stopped.
    """
    _carry_out(
        Wish(
            Choice(**filters, with_destinations=False),
            REPLAY_LETTERS,
            reason,
            most,
            rate,
            again,
            yes,
            dry_run,
            as_json,
        )
    )


@dead_letters.command()
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
@choice_options
@order_options
def discard(
    *, reason: str, most: int | None, yes: bool, dry_run: bool, as_json: bool, **filters: Any
) -> None:
    """Remove dead letters for good: all, those named, or those that the options choose.

    Their bodies are kept in the table discarded_letters for OM_PAYLOAD_RETENTION_DAYS.
    """
    _carry_out(Wish(Choice(**filters), DISCARD_LETTERS, reason, most, 0.0, False, yes, dry_run, as_json))


def _carry_out(wish: Wish) -> None:
    if not wish.reason and not wish.dry_run:
        raise click.UsageError("--reason is needed: it goes on record with your user name.")
    with _in_hand() as hand:
        count = hand.queue.count()
        chosen = choose(read_dead_letters(hand.queue, hand.engine), wish.choice, wish.most)
        if not wish.as_json:
            print_summary(chosen, "would be " + _verb(wish) if wish.dry_run else "chosen")
        if chosen and not wish.dry_run and not wish.yes:
            click.confirm(f"{len(chosen)} letters will be {_verb(wish)}; go on?", abort=True, err=True)
        if wish.dry_run or not chosen:
            _tell(wish, len(chosen), None, None)
            return
        order = Order(_intervention(wish, len(chosen)), frozenset(each.message_id for each in chosen), count)
        progress = _work_off(wish, order, hand)
    _tell(wish, len(chosen), progress, order.intervention.intervention_id)


def _work_off(wish: Wish, order: Order, hand: _Hand) -> Progress:
    with cancellable() as cancelled, progress_bar() as bar:
        pace = Pace(wish.rate, hand.republisher.idle, cancelled)
        work = WorkingOff(order, hand.queue, hand.engine, SystemClock(), pace, cancelled)
        steps = work.replay(hand.republisher) if wish.action == REPLAY_LETTERS else work.discard()
        task = bar.add_task("Dead letters", total=order.intervention.chosen, note="")
        for progress in steps:
            bar.update(task, completed=progress.done)
    return work.progress


def _intervention(wish: Wish, chosen: int) -> Intervention:
    return Intervention(
        secrets.token_hex(8), wish.action, person(), wish.reason, wish.choice.as_json(), wish.again, chosen
    )


@contextmanager
def _in_hand() -> Iterator[_Hand]:
    environment = Environment()
    engine = engine_of(database_url(environment), OPERATOR_SESSION)
    urls = environment.strings("OM_AMQP_URL")
    try:
        with in_words(), dead_letters_in_hand(urls, client_name="omctl dead-letters") as (queue, republisher):
            yield _Hand(queue, republisher, engine)
    finally:
        engine.dispose()


def _verb(wish: Wish) -> str:
    return "replayed" if wish.action == REPLAY_LETTERS else "discarded"


def _tell(wish: Wish, chosen: int, progress: Progress | None, intervention_id: str | None) -> None:
    done = progress.done if progress else 0
    if wish.as_json:
        print_json(
            {
                "chosen": chosen,
                "done": done,
                "copies": progress.copies if progress else 0,
                "cancelled": bool(progress and progress.is_cancelled),
                "intervention": intervention_id,
            }
        )
    elif progress:
        click.echo(f"{done} of {chosen} {_verb(wish)}; on record as intervention {intervention_id}.")
    if progress and progress.is_cancelled:
        raise SystemExit(1)
