"""Carry out what a person wishes of the dead letters, and tell what was done."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from messaging.clock import SystemClock
from omctl.cancelling import cancellable
from omctl.console import print_json, progress_bar
from omctl.dead_letters.choice import choose
from omctl.dead_letters.hand import in_hand
from omctl.dead_letters.letters import read_dead_letters
from omctl.dead_letters.printing import print_summary
from omctl.dead_letters.working_off import Order, WorkingOff
from omctl.pace import Pace
from omctl.person import person
from workers.tables import REPLAY_LETTERS, Intervention

if TYPE_CHECKING:
    from collections.abc import Mapping

    from omctl.dead_letters.choice import Choice
    from omctl.dead_letters.hand import Hand
    from omctl.dead_letters.letters import DeadLetter
    from omctl.dead_letters.working_off import Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What the command line of replay and discard says.

    Args:
        choice: Which letters.
        action: REPLAY_LETTERS or DISCARD_LETTERS.
        reason: Why, for the record.
        most: Only the oldest so many.
        rate: Letters per second; 0: as fast as it goes.
        again: Whether events that took effect are to take effect once more.
        yes: Whether nobody is asked.
        dry_run: Whether nothing is changed.
        as_json: Whether a script reads what is printed.
    """

    choice: Choice
    action: str
    reason: str
    most: int | None
    rate: float = 0.0
    again: bool = False
    yes: bool
    dry_run: bool
    as_json: bool


def carry_out(wish: Wish) -> None:
    """Ask, replay or discard, and print what became of it.

    Exit with 1 where it was cancelled, or none of the letters that were named can be had.
    """
    if not wish.reason and not wish.dry_run:
        raise click.UsageError("--reason is needed: it goes on record with your user name.")
    with in_hand() as hand:
        count = hand.queue.count()
        letters = read_dead_letters(hand.queue, hand.engine)
        chosen = choose(letters, wish.choice, wish.most)
        _tell_of_those_left(wish, letters)
        if not wish.as_json:
            print_summary(chosen, "would be " + _verb(wish) if wish.dry_run else "chosen")
        if chosen and not wish.dry_run and not wish.yes:
            with hand.republisher.attended():
                click.confirm(f"{len(chosen)} letters will be {_verb(wish)}; go on?", abort=True, err=True)
        if wish.dry_run or not chosen:
            _tell(wish, len(chosen), None, None)
            if wish.choice.message_ids and not chosen:
                raise SystemExit(1)
            return
        order = Order(_intervention(wish, len(chosen)), frozenset(each.message_id for each in chosen), count)
        progress = _work_off(wish, order, hand)
    _tell(wish, len(chosen), progress, order.intervention.intervention_id)


def _tell_of_those_left(wish: Wish, letters: Mapping[str, DeadLetter]) -> None:
    for message_id in wish.choice.message_ids:
        letter = letters.get(message_id)
        if letter is None:
            click.echo(f"No dead letter {message_id} is in the queue.", err=True)
        elif letter.destination is not None and not wish.choice.with_destinations:
            click.echo(
                f"{message_id} was processed, {letter.destination} did not take it: "
                f"omctl destinations resend {letter.destination}",
                err=True,
            )


def _work_off(wish: Wish, order: Order, hand: Hand) -> Progress:
    chosen = order.intervention.chosen
    with cancellable() as cancelled, progress_bar() as bar:
        pace = Pace(wish.rate, hand.republisher.idle, cancelled)
        work = WorkingOff(order, hand.queue, hand.engine, SystemClock(), pace, cancelled)
        steps = work.replay(hand.republisher) if wish.action == REPLAY_LETTERS else work.discard()
        task = bar.add_task("Dead letters", total=chosen, note="")
        try:
            for progress in steps:
                bar.update(task, completed=progress.done)
        finally:
            # A broker or a database that goes away in the middle needs it as much as Ctrl-C does.
            if work.progress.done < chosen:
                click.echo(
                    f"{work.progress.done} of {chosen} {_verb(wish)}; the same command goes on.", err=True
                )
    return work.progress


def _intervention(wish: Wish, chosen: int) -> Intervention:
    return Intervention(
        secrets.token_hex(8), wish.action, person(), wish.reason, wish.choice.as_json(), wish.again, chosen
    )


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
