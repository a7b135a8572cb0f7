"""Put a worker together: settings in, everything it needs handed over as arguments."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from messaging.clock import SystemClock
from messaging.consumer import Consumer
from messaging.processing import TimeLimits
from messaging.service_manager import ServiceManager
from workers.intake import Intake, installed_handlers
from workers.tables.database import engine_of

if TYPE_CHECKING:
    from workers.settings import IntakeSettings


def run_intake(settings: IntakeSettings, *, name: str) -> None:
    """Consume until SIGTERM or SIGINT; returns when what was begun is settled.

    Args:
        settings: This worker's.
        name: What the broker and the log show for this worker.

    Raises:
        ConfigurationError: A setting or an installed handler is unusable.
    """
    clock = SystemClock()
    intake = Intake(
        engine_of(settings.database_url),
        installed_handlers(),
        clock,
        attempts=settings.handler_attempts,
    )
    consumer = Consumer(
        settings.amqp_urls,
        intake,
        client_name=f"intake {name}",
        batch_events=settings.batch_events,
        batch_seconds=settings.batch_seconds,
        limits=TimeLimits(settings.stuck_seconds, settings.handler_seconds),
        stop_seconds=settings.stop_seconds,
        service_manager=ServiceManager(),
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: consumer.stop())
    consumer.run()
