"""Create each role's objects, and pass them their settings and collaborators as arguments."""

import secrets
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from flask import Flask
from sqlalchemy import Engine

from messaging.consuming import Consumer
from messaging.errors import RetryLaterError
from messaging.log import logger
from messaging.management import QueueDepths
from messaging.process import ServiceManager, Watchdog
from messaging.topology import EVENTS_QUEUE
from workers import observe, scale
from workers.db.engine import (
    DELIVER_SESSION,
    PATIENT_SESSION,
    WORKER_SESSION,
    DatabaseClock,
    check_schema,
    make_engine,
)
from workers.deliver import DeadLetterPublisher, Deliverer
from workers.genesys import ConversationStates, FailedReceipts, open_client
from workers.intake import Intake, installed_handlers, unstored_types
from workers.reconcile import EventsExchange, PlatformHistory, Reconciler, ReconcileSettings
from workers.retain import RetainSettings
from workers.retain import retain as delete_expired
from workers.role import report_presence, run_role
from workers.settings import DeliverSettings, IntakeSettings, ScaleSettings, SettleSettings
from workers.settle import Settler, Verifier

HANDLER_SECONDS: Final = 25.0
"""How long a handler may take for one batch: longer than one SQL statement may take. A worker that exceeds
this limit ends and is restarted. An event that makes its handler hang is tried once with its batch and twice
alone, so the rest of its batch waits through three time limits and three restarts: about 100 s in all."""

SWITCH_SECONDS: Final = 0.0005
"""How long one of deliver's threads may keep the interpreter lock while another thread waits for it. With the
default of 5 ms, the thread that records results would delay each sending thread after each response."""

QUERY_SECONDS: Final = 5.0
"""Time limit for a query about a routing update. Queries about other conversations wait for it to end."""

LOOK_SECONDS: Final = 5.0
"""Interval between backlog checks. A shorter interval would gain little: a worker takes seconds to start."""


def run_settle(settings: SettleSettings, *, name: str) -> None:
    """Settle conversations whose window has closed, and write the outbox."""
    engine, clock = _open_database(settings.database_url)
    genesys, wait = settings.genesys, settings.apply_unverified_seconds
    states = None
    if genesys is not None:
        states = ConversationStates(open_client(genesys, engine, clock, request_seconds=QUERY_SECONDS))
    settler = Settler(engine, clock, verifies=states is not None)
    end = wait or settings.give_up_seconds
    verifier = Verifier(engine, clock, states=states, end_seconds=end, applies_unverified=wait > 0)
    with report_presence(settings.database_url, clock, "settle", name, verifier.figures):
        run_role("settle", [settler.settle_windows, verifier.settle_updates, verifier.end_updates])


def run_deliver(settings: DeliverSettings, *, name: str) -> None:
    """Deliver the outbox to the services that OM_DESTINATIONS names.

    Raises RetryLaterError if the database is away when the role stops; some events might then be sent again.
    """
    sys.setswitchinterval(SWITCH_SECONDS)
    engine, clock = _open_database(settings.database_url, DELIVER_SESSION)
    deliverer = Deliverer(engine, clock, settings.destinations)
    receipts = None
    if settings.genesys is not None:
        client = open_client(settings.genesys, engine, clock)
        receipts = FailedReceipts(engine, clock, settings.failed_receipts, client)
    publisher = DeadLetterPublisher(engine, clock, settings.amqp_urls, receipts)
    # The step `deliver` itself waits for work, so the one-second pause delays only dead letters and receipts.
    steps = [deliverer.deliver, publisher.publish_and_rest]
    if receipts is not None:
        steps.append(receipts.send_failed_receipts)
    with report_presence(settings.database_url, clock, "deliver", name, deliverer.figures):
        run_role("deliver", steps, idle_seconds=1.0, finish=deliverer.finish)


def run_reconcile(settings: ReconcileSettings, *, name: str) -> None:
    """Compare events with the platform's history every 15 minutes, and publish missing events."""
    engine, clock = _open_database(settings.database_url, PATIENT_SESSION)
    history = PlatformHistory(open_client(settings.genesys, engine, clock, is_background=True))
    exchange = EventsExchange(settings.amqp_urls)
    holder = secrets.token_hex(8)
    reconciler = Reconciler(engine, clock, history, exchange=exchange, settings=settings, holder=holder)
    with report_presence(settings.database_url, clock, "reconcile", name, dict):
        run_role("reconcile", [reconciler.reconcile], idle_seconds=1.0)


def run_intake(settings: IntakeSettings, *, name: str) -> None:
    """Consume events from the broker, and give each event its one effect in SQL.

    Raises ConfigurationError if an installed handler cannot be loaded or the database is not migrated.
    """
    engine, clock = _open_database(settings.database_url)
    handlers = installed_handlers()
    for warning in settings.event_filter.warnings if settings.event_filter else ():
        logger().warning("event_filter_questionable", reason=warning)
    watchdog = Watchdog(HANDLER_SECONDS)
    intake = Intake(
        engine,
        handlers,
        clock,
        attempts=settings.handler_attempts,
        event_filter=settings.event_filter,
        retention_us=settings.retention_days * 86_400_000_000,
        unstored=frozenset() if settings.store_typing else unstored_types(handlers),
        limit=watchdog.limit,
    )
    consumer = Consumer(
        settings.amqp_urls,
        intake,
        client_name=f"intake {name}",
        batch_events=settings.batch_events,
        batch_seconds=settings.batch_seconds,
        service_manager=ServiceManager(),
        watchdog=watchdog,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: consumer.stop())
    take_back = intake.suspects.take_back
    with report_presence(settings.database_url, clock, "intake", name, intake.figures, finish=take_back):
        consumer.run()
    watchdog.stop()


def _open_database(url: str, session: Mapping[str, str] = WORKER_SESSION) -> tuple[Engine, DatabaseClock]:
    """Return the database's engine and clock; if the database can be reached, check that it is migrated."""
    engine = make_engine(url, session)
    with suppress(RetryLaterError):
        check_schema(engine)
    return engine, DatabaseClock(engine)


def run_retain(settings: RetainSettings, *, dry_run: bool) -> None:
    """Delete expired rows once, then exit; a timer starts this role daily.

    Raises RetryLaterError if the database is away; run the role again later.
    """
    engine, clock = _open_database(settings.database_url, PATIENT_SESSION)
    days = {"payload_days": settings.payload_days, "event_days": settings.event_days}
    for _ in delete_expired(engine, clock.now_us(), **days, dry_run=dry_run):
        pass


def run_scale(settings: ScaleSettings, *, processes: bool, seconds: float = LOOK_SECONDS) -> None:
    """Start and stop this host's intake, settle and deliver workers according to their backlog.

    If *processes* is true, only intake workers run, as child processes. The checks are *seconds* apart.
    """
    depths = QueueDepths(settings.management_urls, settings.amqp_urls[:1])
    children = scale.Processes()
    intake = children if processes else scale.Units("worker")
    scalers = [scale.Scaler("intake", settings.limits, lambda: depths.read().get(EVENTS_QUEUE), intake)]
    if not processes:
        engine = make_engine(settings.database_url, observe.OBSERVER_SESSION)
        clock = DatabaseClock(engine)
        roles = ("settle", "deliver") if Path(settings.destinations).is_file() else ("settle",)
        scalers += [scale.make_scaler(role, settings.limits, engine, clock) for role in roles]
    try:
        run_role("scale", [scaler.scale for scaler in scalers], idle_seconds=seconds)
    finally:
        children.stop_all()


def run_observe(settings: observe.ObserveSettings) -> None:
    """Serve the status page, and metrics of queues, dead letters, windows and deliveries, at OM_METRICS_BIND.

    Raises ConfigurationError if an address in the settings is malformed.
    """
    # Parse the addresses before gunicorn starts: an error in gunicorn's process would cause restarts.
    engine = make_engine(settings.database_url, observe.OBSERVER_SESSION)
    depths = QueueDepths(settings.management_urls, settings.amqp_urls)

    def build() -> Flask:
        clock = DatabaseClock(engine)
        observe.record_edge_answers(settings, clock)
        return observe.make_app(observe.open_probes(settings, engine, clock, depths))

    observe.serve(build, settings.bind)
