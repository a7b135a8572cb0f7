"""omctl replay: process past events again from the database, to recover from an incident."""

from collections.abc import Callable, Iterator
from dataclasses import replace as with_changes
from functools import partial
from itertools import takewhile
from typing import Any, Final

import click
from sqlalchemy import Engine

from messaging.admin import EventPublisher, event_publisher
from messaging.envelope import Envelope, replay_source
from messaging.environment import Environment
from omctl.connections import open_database
from omctl.console import print_table
from omctl.interventions import RateLimiter, Run, Terms, begin, cancellable, execute, report
from omctl.options import again_option, intervention_options, rate_option, since_option, until_option
from workers.db.engine import transact
from workers.db.interventions import Action
from workers.db.past_events import (
    PastEvent,
    PastEventFilter,
    count_past_events,
    find_unfinished_replay,
    newest_event_id,
    read_past_events,
)

BATCH: Final = 100
"""Events read at once. After a kill, up to this many are published again, without effect."""

EXAMPLES: Final = """\b
Examples:
  omctl replay --since 2026-05-15T14:00 --until 2026-05-15T15:30 --dry-run
  omctl replay --conversation a1b2c3d4-… --again --reason "the CRM lost it"
  omctl replay --resume 5f0c…
"""


@click.command(epilog=EXAMPLES)
@since_option("Received")
@until_option("Received")
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
    """
    terms = Terms.take(options)
    if resume:
        _refuse_beside_resume({**options, "again": terms.again, "reason": terms.reason})
    elif not any(options.values()):
        raise click.UsageError("Select events: --since, --until, --conversation, --type or --resume.")
    else:
        terms.require_reason()
    with open_database() as engine:
        if resume:
            _continue(engine, terms, resume, rate)
        else:
            _start(engine, terms, PastEventFilter(**options), rate)


def _refuse_beside_resume(options: dict[str, Any]) -> None:
    given = [f"--{name.removeprefix('event_')}" for name, value in options.items() if value]
    if given:
        raise click.UsageError(
            f"--resume uses the recorded selection and reason: leave {', '.join(given)} out."
        )


def _continue(engine: Engine, terms: Terms, intervention_id: str, rate: float) -> None:
    """Preview, ask, and continue a replay that was cancelled or killed."""
    found = transact(engine, lambda connection: find_unfinished_replay(connection, intervention_id))
    if found is None:
        raise click.UsageError(f"No replay {intervention_id} is unfinished.")
    left = f"{found.chosen - found.done} of {found.chosen} events"
    if not terms.as_json:
        click.echo(f"{left} are left{', to take effect again' if found.again else ''}.")
    if terms.dry_run:
        report(terms, Run("", found.chosen, found.done), "replayed")
        return
    terms.confirm(f"{left} will be replayed")
    run = Run(intervention_id, found.chosen, found.done, last_id=found.last_id)
    _replay(engine, terms, found.selected, rate, lambda: run, again=found.again)


def _start(engine: Engine, terms: Terms, selected: PastEventFilter, rate: float) -> None:
    """Preview, ask, record, and replay."""
    selected = with_changes(selected, through=transact(engine, newest_event_id))
    counts = transact(engine, lambda connection: count_past_events(connection, selected))
    chosen = sum(counts.values())
    if not terms.as_json:
        rows = [(event_type, str(count)) for event_type, count in counts.items()]
        title = f"{chosen} events selected"
        print_table(("type", "events"), rows, title=title, empty="No event is selected.")
    if terms.dry_run or not chosen:
        report(terms, Run("", chosen), "replayed")
        return
    terms.confirm(f"{chosen} events will be replayed")
    start = partial(begin, engine, terms, Action.REPLAY_EVENTS, selected.as_json(), chosen)
    _replay(engine, terms, selected, rate, start, again=terms.again)


def _replay(
    engine: Engine,
    terms: Terms,
    selected: PastEventFilter,
    rate: float,
    start: Callable[[], Run],
    *,
    again: bool,
) -> None:
    """Replay the selected events; *start* records that it begins, once the broker is connected."""
    urls = Environment().strings("OM_AMQP_URL")
    with cancellable() as cancelled, event_publisher(urls, client_name="omctl replay") as broker:
        run = start()
        source = replay_source(run.intervention_id if again else None)
        publish = partial(_publish, broker, source, RateLimiter(rate, broker.idle, cancelled))
        try:
            execute(engine, run, _publish_batches(engine, run, selected, publish), cancelled)
        finally:
            # An operator needs it after a failure of broker or database as much as after Ctrl-C.
            if run.is_cancelled:
                click.echo(f"Continue with: omctl replay --resume {run.intervention_id}", err=True)
    report(terms, run, "replayed")


def _publish_batches(
    engine: Engine, run: Run, selected: PastEventFilter, publish: Callable[[PastEvent], bool]
) -> Iterator[int]:
    """Publish the events in the order of their ids; yield the number published of each batch."""
    read = partial(read_past_events, selected=selected, limit=BATCH)
    while events := transact(engine, partial(read, after=run.last_id or 0)):
        published = list(takewhile(publish, events))
        run.last_id = published[-1].event_id if published else run.last_id
        yield len(published)


def _publish(broker: EventPublisher, source: str, rate_limiter: RateLimiter, event: PastEvent) -> bool:
    """Publish an event in its turn; return False, without publishing it, if the replay is cancelled."""
    if not rate_limiter.wait():
        return False
    broker.publish(Envelope(event.message_id, event.received_at_us, event.message_id, source, event.body))
    return True
