"""omctl replay: process past events again from the database, to recover from an incident."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from threading import Event
from typing import Any, Final

import click
from sqlalchemy import Engine

from messaging.admin import EventPublisher, event_publisher
from messaging.envelope import Envelope, replay_source
from messaging.environment import Environment
from omctl import interface
from omctl.connections import open_database
from omctl.interface import Command, again_option, intervention_options, is_json, print_table, rate_option
from omctl.interventions import RateLimiter, Run, Terms, carry_out
from workers.db import past_events
from workers.db.engine import transact
from workers.db.interventions import Action, encode_selection
from workers.db.past_events import PastEventFilter
from workers.parsing import microseconds_of

BATCH: Final = 100
"""The number of events read at once. After a kill, up to this many are published again, without effect."""


@click.command(cls=Command)
@interface.since_option("Received")
@interface.until_option("Received")
@click.option("--conversation", help="Of this conversation.")
@click.option("--type", "event_type", help="Of this event type (prefix optional).")
@again_option
@rate_option
@click.option("--resume", metavar="INTERVENTION", help="Continue a replay that was cancelled or killed.")
@intervention_options
def replay(*, resume: str | None, rate: float, **options: Any) -> None:
    """Process past events again, from the bodies that the database keeps.

    Each is published to the events' exchange like an event from a webhook. One that already took effect has
    no second effect unless --again is given. Events that arrive during the replay are not included. Ctrl-C
    stops after the current event. --resume uses the recorded selection, --again and --reason, so omit them.

    Examples:
      omctl replay --since 2026-05-15T14:00 --until 2026-05-15T15:30 --dry-run
      omctl replay --conversation a1b2c3d4-… --again --reason "the CRM lost it"
      omctl replay --resume 5f0c…
    """
    terms = Terms.take(options)
    if resume:
        given = {**options, "again": terms.again, "reason": terms.reason}
        if names := [f"--{name.removeprefix('event_')}" for name, value in given.items() if value]:
            text = f"--resume uses the recorded selection and reason: leave {', '.join(names)} out."
            raise click.UsageError(text)
    elif not any(options.values()):
        raise click.UsageError("Select events: --since, --until, --conversation, --type or --resume.")
    else:
        terms.require_reason()
    with open_database() as engine:
        run, selected, again = _find(engine, resume) if resume else _select(engine, options, terms)

        @contextmanager
        def work(cancelled: Event) -> Iterator[Iterator[int]]:
            urls = Environment().strings("OM_AMQP_URL")
            with event_publisher(urls, client_name="omctl replay") as broker:
                rate_limiter = RateLimiter(rate, broker.idle, cancelled)
                yield _publish_all(engine, run, selected, broker, rate_limiter, again=again)

        left = f"{run.chosen - run.done} of {run.chosen}" if resume else f"{run.chosen}"
        hint = "Continue with: omctl replay --resume {run.intervention_id}"
        carry_out(engine, terms, run, work, question=f"{left} events will be replayed", hint=hint)


def _find(engine: Engine, intervention_id: str) -> tuple[Run, PastEventFilter, bool]:
    """Find a cancelled or killed replay, print what is left, and return the run, filter and `again`."""
    found = transact(engine, past_events.find_unfinished_replay, intervention_id)
    if found is None:
        raise click.UsageError(f"No replay {intervention_id} is unfinished.")
    if not is_json():
        left = f"{found.chosen - found.done} of {found.chosen} events are left"
        click.echo(f"{left}{', to take effect again' if found.again else ''}.")
    progress = (intervention_id, found.done)
    run = Run(Action.REPLAY_EVENTS, found.chosen, "", "replayed", *progress, last_id=found.through)
    return run, PastEventFilter.from_json(found.selection), found.again


def _select(engine: Engine, options: dict[str, Any], terms: Terms) -> tuple[Run, PastEventFilter, bool]:
    selected = PastEventFilter(**options, through=transact(engine, past_events.newest_event_id))
    counts = transact(engine, past_events.count_past_events, selected)
    chosen = sum(counts.values())
    if not is_json():
        title, empty = f"{chosen} events selected", "No event is selected."
        print_table(("type", "events"), counts.items(), title=title, empty=empty)
    return Run(Action.REPLAY_EVENTS, chosen, encode_selection(selected), "replayed"), selected, terms.again


def _publish_all(
    engine: Engine,
    run: Run,
    selected: PastEventFilter,
    broker: EventPublisher,
    rate_limiter: RateLimiter,
    *,
    again: bool,
) -> Iterator[int]:
    source = replay_source(run.intervention_id if again else None)

    def read() -> list[Any]:
        with broker.keep_alive():
            return transact(engine, past_events.read_past_events, selected, run.last_id or 0, BATCH)

    while events := read():
        published = []
        for event in takewhile(lambda _: rate_limiter.wait(), events):
            received_at_us, body = microseconds_of(event.received_at), bytes(event.body)
            broker.publish(Envelope(event.message_id, received_at_us, event.message_id, source, body))
            published.append(event.id)
        run.last_id = published[-1] if published else run.last_id
        yield len(published)
