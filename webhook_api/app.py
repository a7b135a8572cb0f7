"""Put one edge process together: everything gets its collaborators here."""

from __future__ import annotations

import asyncio
import os
import secrets
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, jsonify
from werkzeug.exceptions import HTTPException

from messaging.clock import SystemClock
from messaging.log import log_callback_failure, logger
from messaging.publisher import Publisher
from webhook_api.handover import Barrier, Confirms, Handover, MajorityWatch, Outlet, Oversized
from webhook_api.health import Health, report, write_status
from webhook_api.host_table import HostTable
from webhook_api.ingest import Ingest
from webhook_api.journal import HostLimit, Journal
from webhook_api.pressure import Gate, QueueDepthPoller, Watermarks
from webhook_api.routes import blueprint

if TYPE_CHECKING:
    from collections.abc import Callable

    from messaging.clock import Clock
    from webhook_api.pressure import QueueReport
    from webhook_api.settings import EdgeSettings

STATUS_SECONDS = 1.0


class Edge:
    """One edge process: make it after the fork.

    Args:
        settings: What it was told.
        clock: Where time comes from.
    """

    def __init__(self, settings: EdgeSettings, clock: Clock | None = None) -> None:
        clock = clock or SystemClock()
        self.settings = settings
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(log_callback_failure)
        table = HostTable(settings.journal_directory)
        marks = Watermarks(settings.queue_depth_high, settings.queue_depth_low)
        self._gate = Gate(
            marks,
            retry_after_max=settings.retry_after_max_seconds,
            processes=settings.processes,
            clock=clock,
        )
        self._journal = Journal(
            settings.journal_directory,
            HostLimit(table, max_bytes=settings.journal_max_bytes, processes=settings.processes),
            fsync=settings.journal_fsync,
            now_us=clock.now_us(),
        )
        confirms = Confirms() if settings.publisher_confirms else None
        publisher = Publisher(
            self.loop,
            settings.amqp_urls,
            client_name=f"open-messaging edge {os.getpid()}",
            on_confirm=confirms.confirm if confirms else None,
        )
        watch = MajorityWatch(
            settings.state_directory,
            brokers=len(settings.amqp_urls),
            management_addresses=len(settings.management_urls),
            is_needed=confirms is None and bool(settings.management_urls),
        )
        outlet = Outlet(publisher, confirms or Barrier(), watch, self._gate, clock)
        oversized = Oversized(settings.state_directory / "oversized")
        self.handover = Handover(self.loop, self._journal, outlet, oversized, clock)
        self.ingest = Ingest(settings, self._gate, self.handover, clock, secrets.token_hex(8))
        self.flask = create_app(self.ingest, self.health)
        self._poller = (
            QueueDepthPoller(
                settings.management_urls, settings.amqp_urls[0], self._post_report, lambda: watch.address
            )
            if settings.management_urls
            else None
        )

    def start(self) -> None:
        """Connect, poll and report from now on; the loop runs when its owner starts it."""
        if self.settings.is_cluster_unwatched:
            logger().warning(
                "majority_unwatched",
                consequence="events are lost where the queue has no majority: set OM_MANAGEMENT_URL",
            )
        self.handover.start()
        if self._poller is not None:
            self._poller.start()
        self._tick()

    def stop(self, then: Callable[[], None]) -> None:
        """Hand over what can be, let go of the journal, then call *then*."""
        if self._poller is not None:
            self._poller.stop()
        self.handover.stop(then)

    def status(self) -> dict[str, Any]:
        """Return this process's state, JSON values only."""
        return {
            "pid": os.getpid(),
            "journal": self.handover.status(),
            "gate": {**self._gate.status(), "is_polled": self._poller is not None},
        }

    def health(self) -> Health:
        """Take a report of the host."""
        return report(self.status(), self.settings.journal_directory, self.settings.journal_max_bytes)

    def _post_report(self, report: QueueReport) -> None:
        """Carry a report from the poller's thread to the loop."""
        self.loop.call_soon_threadsafe(self._on_report, report)

    def _on_report(self, report: QueueReport) -> None:
        self.handover.told(report)
        if report.depth is not None:
            self._gate.on_sample(report.depth)

    def _tick(self) -> None:
        self.loop.call_later(STATUS_SECONDS, self._tick)
        self._gate.on_blocked(is_blocked=self.handover.is_blocked)
        self._gate.tick()
        if self._journal.directory is not None:
            write_status(self._journal.directory, self.status())


def create_app(ingest: Ingest, health: Callable[[], Health]) -> Flask:
    """Return the Flask application over its collaborators."""
    app = Flask("webhook_api")
    app.config["MAX_CONTENT_LENGTH"] = ingest.max_body_bytes
    app.register_blueprint(blueprint(ingest, health))
    app.register_error_handler(Exception, _answer_error)
    return app


def _answer_error(error: Exception) -> tuple[Response, int]:
    if isinstance(error, HTTPException):
        return jsonify(status=error.name.lower()), error.code or 500
    logger().exception("request_failed")
    return jsonify(status="internal server error"), 500
