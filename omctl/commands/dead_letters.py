"""omctl dead-letters: look at what could not be processed, run it again, discard it."""

from __future__ import annotations

from typing import Any, Final

import click

from omctl.console import json_option, print_body, print_json, print_table
from omctl.dead_letters import (
    Choice,
    Wish,
    as_plain,
    carry_out,
    choice_options,
    choose,
    in_hand,
    order_options,
    print_letters,
    print_summary,
    read_dead_letters,
)
from workers.tables import DISCARD_LETTERS, REPLAY_LETTERS

SHOWN: Final = 50
"""Letters that a person sees at once; the summary counts all."""

EXAMPLES: Final = """\b
Examples:
  omctl dead-letters list --code handler_failed --since 2h
  omctl dead-letters show 3f2a…
  omctl dead-letters replay --code handler_failed --rate 50 --reason "CRM is back"
  omctl dead-letters discard 3f2a… --reason "a test of ours"
"""


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
    with in_hand() as hand:
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
    with in_hand() as hand:
        letter = read_dead_letters(hand.queue, hand.engine).get(message_id)
    if letter is None:
        click.echo(f"No dead letter {message_id} is in the queue.", err=True)
        raise SystemExit(1)
    described = as_plain(letter)
    if as_json:
        body = {"body": letter.body.decode(errors="backslashreplace")} if with_body else {}
        print_json({**described, **body})
        return
    print_table(("", ""), [(name, str(value)) for name, value in described.items()])
    if with_body:
        print_body(letter.body)


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
    """Run dead letters again: all, those named, or those that the options choose.

    Each is published to the events' exchange, and removed when the broker has confirmed it. What took effect
    before is refused by its key, unless --again. What a destination did not take was processed, and stays.
    Nothing that arrives meanwhile is touched. Ctrl-C stops between two letters; the same command goes on
    where it stopped.
    """
    wishes, filters = _apart(options)
    carry_out(Wish(choice=Choice(**filters, with_destinations=False), action=REPLAY_LETTERS, **wishes))


@dead_letters.command()
@click.argument("message_ids", nargs=-1, metavar="[MESSAGE_ID]...")
@choice_options
@order_options
def discard(**options: Any) -> None:
    """Remove dead letters for good: all, those named, or those that the options choose.

    Their bodies are kept in the table discarded_letters for OM_PAYLOAD_RETENTION_DAYS.
    """
    wishes, filters = _apart(options)
    carry_out(Wish(choice=Choice(**filters), action=DISCARD_LETTERS, **wishes))


def _apart(options: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Tell how to go about it from what chooses among the letters, by the names of both."""
    wishes = {name: value for name, value in options.items() if name in Wish.__dataclass_fields__}
    return wishes, {name: value for name, value in options.items() if name not in wishes}
