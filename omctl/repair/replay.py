"""omctl replay: process past events again from the database, to recover from an incident."""

from collections.abc import Iterator
from functools import partial
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
from workers.db.interventions import Action
from workers.db.past_events import PastEvent, PastEventFilter

BATCH: Final = 100
"""Events read at once. After a kill, up to this many are published again, without effect."""


@click.command(cls=Command)
@interface.since_option("Received")
@interface.until_option("Received")
@click.option("--conversation", help="Of this conversation.")
@click.option("--type", "event_type", help="Of this event type, whole or its last part.")
@again_option
@rate_option
@click.option("--resume", metavar="INTERVENTION", help="Continue a replay that was cancelled or killed.")
@intervention_options
def replay(*, resume: str | None, rate: float, **options: Any) -> None:
    """Process past events again, from the bodies that the database keeps.

    Each is published to the events' exchange like a webhook. An event that took effect before has no effect
    again, unless --again. Events that arrive meanwhile are not included. Ctrl-C stops between two events.

    --resume uses the recorded selection, --again and --reason, so give none of them.

    Examples:
      omctl replay --since 2026-05-15T14:00 --until 2026-05-15T15:30 --dry-run
      omctl replay --conversation a1b2c3d4-… --again --reason "the CRM lost it"
      omctl replay --resume 5f0c…
    """
    terms = Terms.take(options)
    if resume:
        _refuse_beside_resume({**options, "again": terms.again, "reason": terms.reason})
    elif not any(options.values()):
        raise click.UsageError("Select events: --since, --until, --conversation, --type or --resume.")
    else:
        terms.require_reason()
    with open_database() as engine:
        run, selected, again = _find(engine, resume) if resume else _select(engine, options, terms)

        def work(broker: EventPublisher, cancelled: Event) -> Iterator[int]:
            source = replay_source(run.intervention_id if again else None)
            publish = partial(_publish, broker, source, RateLimiter(rate, broker.idle, cancelled))
            read = partial(past_events.read_past_events, selected=selected, limit=BATCH)
            while events := transact(engine, partial(read, after=run.last_id or 0)):
                published = list(takewhile(publish, events))
                run.last_id = published[-1].event_id if published else run.last_id
                yield len(published)

        left = f"{run.chosen - run.done} of {run.chosen}" if resume else f"{run.chosen}"
        carry_out(
            engine, terms, run, work,
            event_publisher(Environment().strings("OM_AMQP_URL"), client_name="omctl replay"),
            question=f"{left} events will be replayed", verb="replayed",
            hint=lambda: f"Continue with: omctl replay --resume {run.intervention_id}",
        )  # fmt: skip


def _refuse_beside_resume(options: dict[str, Any]) -> None:
    if given := [f"--{name.removeprefix('event_')}" for name, value in options.items() if value]:
        text = f"--resume uses the recorded selection and reason: leave {', '.join(given)} out."
        raise click.UsageError(text)


def _find(engine: Engine, intervention_id: str) -> tuple[Run, PastEventFilter, bool]:
    """Find a replay that was cancelled or killed, and whether its events take effect again; preview it."""
    found = transact(engine, past_events.find_unfinished_replay, intervention_id)
    if found is None:
        raise click.UsageError(f"No replay {intervention_id} is unfinished.")
    if not is_json():
        left = f"{found.chosen - found.done} of {found.chosen} events are left"
        click.echo(f"{left}{', to take effect again' if found.again else ''}.")
    run = Run(Action.REPLAY_EVENTS, found.chosen, "", intervention_id, found.done, last_id=found.last_id)
    return run, found.selected, found.again


def _select(engine: Engine, options: dict[str, Any], terms: Terms) -> tuple[Run, PastEventFilter, bool]:
    """Count and preview the events that are selected now."""
    selected = PastEventFilter(**options, through=transact(engine, past_events.newest_event_id))
    counts = transact(engine, past_events.count_past_events, selected)
    chosen = sum(counts.values())
    if not is_json():
        title, empty = f"{chosen} events selected", "No event is selected."
        print_table(("type", "events"), counts.items(), title=title, empty=empty)
    return Run(Action.REPLAY_EVENTS, chosen, selected.as_json()), selected, terms.again


def _publish(broker: EventPublisher, source: str, rate_limiter: RateLimiter, event: PastEvent) -> bool:
    """Publish an event in its turn; return False, without publishing it, if the replay is cancelled."""
    if not rate_limiter.wait():
        return False
    broker.publish(Envelope(event.message_id, event.received_at_us, event.message_id, source, event.body))
    return True
