"""Put one edge process together: everything gets its collaborators here."""

from __future__ import annotations

import asyncio
import os
import secrets
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from messaging.clock import SystemClock
from messaging.envelope import STATISTICS, encode_properties
from messaging.log import log_callback_failure, logger
from messaging.publishing import Publisher
from webhook_api.application import EdgeApplication
from webhook_api.backpressure import Gate, QueueDepthPoller, Watermarks
from webhook_api.extensions import load_extensions
from webhook_api.health import Health, report, write_status
from webhook_api.host_table import HostTable
from webhook_api.http import Limits
from webhook_api.ingest import Ingest
from webhook_api.journal import HostLimit, Journal, JournalFullError
from webhook_api.refusals import Refusals
from webhook_api.relay import Barrier, Confirms, MajorityWatch, Outlet, Oversized, Relay
from webhook_api.set_aside import DAY_SECONDS, delete_expired
from webhook_api.signature import secret_id
from webhook_api.statistics import Statistics

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from wsgiref.types import StartResponse, WSGIEnvironment

    from messaging.clock import Clock
    from messaging.edge_statistics import EdgeStatistics
    from webhook_api.backpressure import QueueReport
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
            table,
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
        self._clock, self._token = clock, secrets.token_hex(8)
        self._statistics = Statistics(clock, self._token, settings.statistics_seconds)
        self.relay = Relay(self.loop, self._journal, outlet, oversized, clock, self._statistics)
        self._refusals = Refusals(clock, self._statistics)
        self.refused = self._refusals.note
        self.ingest = Ingest(
            settings, self._gate, self.relay, clock, refusals=self._refusals, token=self._token
        )
        self._secret_ids = [secret_id(secret) for secret in settings.secrets]
        self.limits = limits_of(settings)
        self.logs_requests = settings.access_log
        self.application = EdgeApplication(self.ingest, self.health)
        for extend in load_extensions(settings.flask_extensions):
            extend(self.application)
        self._poller = (
            QueueDepthPoller(
                settings.management_urls, settings.amqp_urls, self._post_report, lambda: watch.address
            )
            if settings.management_urls
            else None
        )

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request by the Flask application; gunicorn wants something to call."""
        return self.application(environ, start_response)

    def is_inviting(self) -> bool:
        """Tell whether a sender that asks first shall send its body: not while webhooks are refused."""
        return self.ingest.is_admitting

    def start(self) -> None:
        """Connect, poll and report from now on; the loop runs when its owner starts it."""
        if self.settings.is_cluster_unwatched:
            logger().warning(
                "majority_unwatched",
                consequence="events are lost where the queue has no majority: set OM_MANAGEMENT_URL",
            )
        self.relay.start()
        if self._poller is not None:
            self._poller.start()
        self._tick()
        self._expire_set_aside()

    def stop(self, then: Callable[[], None]) -> None:
        """Hand over what can be, let go of the journal, then call *then*."""
        if self._poller is not None:
            self._poller.stop()
        self._tell(self._statistics.told())
        self.relay.stop(then)

    def status(self) -> dict[str, Any]:
        """Return this process's state, JSON values only."""
        return {
            "pid": os.getpid(),
            "journal": self.relay.status(),
            "gate": {**self._gate.status(), "is_polled": self._poller is not None},
            "refused": dict(self._statistics.refusals),
            "durations": self._statistics.durations,
            "seconds": self._statistics.seconds,
            "signatures": dict(zip(self._secret_ids, self.ingest.verified, strict=True)),
        }

    def health(self) -> Health:
        """Take a report of the host."""
        return report(self.status(), self.settings.journal_directory, self.settings.journal_max_bytes)

    def _post_report(self, report: QueueReport) -> None:
        """Carry a report from the poller's thread to the loop."""
        self.loop.call_soon_threadsafe(self._on_report, report)

    def _on_report(self, report: QueueReport) -> None:
        self.relay.told(report)
        if report.depth is not None:
            self._gate.on_sample(report.depth)

    def _expire_set_aside(self) -> None:
        self.loop.call_later(DAY_SECONDS, self._expire_set_aside)
        delete_expired(
            self.settings.state_directory, self.settings.payload_days, self._clock.now_us() / 1_000_000
        )

    def _tick(self) -> None:
        self.loop.call_later(STATUS_SECONDS, self._tick)
        self._gate.on_blocked(is_blocked=self.relay.is_blocked)
        self._gate.tick()
        self._tell(self._statistics.look(STATUS_SECONDS))
        if self._journal.directory is not None:
            write_status(self._journal.directory, self.status())

    def _tell(self, told: EdgeStatistics | None) -> None:
        """Hand a count of answers over like an event; what there is no room for is counted on."""
        if told is None:
            return
        name = f"{self._token}-statistics-{told.began_at_us:x}"
        properties = encode_properties(name, self._clock.now_us(), name, STATISTICS)
        with suppress(JournalFullError):
            self.relay.accept_note(properties, told.encoded())
            self._statistics.begin()


def limits_of(settings: EdgeSettings) -> Limits:
    """Return what one process of the host grants its senders."""
    return Limits(
        body_bytes=settings.max_body_bytes,
        request_seconds=settings.request_seconds,
        keepalive_seconds=settings.keepalive_seconds,
        connections=max(1, settings.max_connections // settings.processes),
    )
