"""Assemble one edge process: create its objects, and connect them to each other."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

from messaging.broker import Publisher
from messaging.clock import Clock, SystemClock
from messaging.log import log_callback_failure, logger
from webhook_api.answers import Answers
from webhook_api.application import EdgeApplication
from webhook_api.backpressure import DepthPoller, LoadShedder, QueueReport, Watermarks
from webhook_api.extensions import load_extensions
from webhook_api.health import Health, has_peer_with_room, report, write_status
from webhook_api.http import Limits, Service
from webhook_api.ingest import NOT_DURABLE, Ingest
from webhook_api.journal import Journal
from webhook_api.relay import Barrier, BrokerLink, Confirms, MajorityWatch, Oversized, Relay, delete_expired
from webhook_api.settings import EdgeSettings
from webhook_api.signature import secret_id

STATUS_SECONDS = 1.0
DAY_SECONDS = 86_400.0


class Edge:
    """The objects of one edge process. Create it after the fork."""

    def __init__(self, settings: EdgeSettings, clock: Clock | None = None) -> None:
        self.settings = settings
        self._clock = clock = clock or SystemClock()
        self.loop = asyncio.new_event_loop()
        self.loop.set_exception_handler(log_callback_failure)
        self._answers = Answers(clock)
        self._shedder = LoadShedder(
            Watermarks(settings.queue_depth_high, settings.queue_depth_low),
            retry_after_max=settings.retry_after_max_seconds,
            processes=settings.processes,
            clock=clock,
        )
        self._journal = Journal(
            settings.journal_directory,
            settings.journal_max_bytes,
            settings.processes,
            fsync=settings.journal_fsync,
            now_us=clock.now_us(),
        )
        self.relay = self._make_relay()
        self.ingest = Ingest(settings, self._shedder, self.relay, clock, self._answers)
        self._secret_ids = [secret_id(secret) for secret in settings.secrets]
        self._peer_has_room = False
        self._peers_checked_at = float("-inf")
        self._is_accepting = True
        self.application = EdgeApplication(self.ingest, self.relay, self.health)
        for extend in load_extensions(settings.flask_extensions):
            extend(self.application)
        self.service = Service(
            loop=self.loop,
            application=self.application,
            limits=Limits(settings.max_body_bytes, max(1, settings.max_connections // settings.processes)),
            is_inviting=lambda: not self._shedder.is_shedding,
            is_yielding=self._is_yielding,
            leave=self._leave,
            find_failure=lambda: None if self.relay.flush_undeferred() else NOT_DURABLE,
            on_refused=self._answers.refuse,
            start=self.start,
            stop=self.stop,
        )

    def _make_relay(self) -> Relay:
        settings = self.settings
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
        self._poller = DepthPoller(
            settings.management_urls,
            settings.amqp_urls,
            # The poller calls this on its own thread, so pass the report to the loop.
            lambda report: self.loop.call_soon_threadsafe(self._on_report, report),
            lambda: watch.address,
        )
        self._link = BrokerLink(publisher, confirms or Barrier(), watch, self._shedder, self._clock)
        oversized = Oversized(settings.state_directory / "oversized")
        return Relay(self.loop, self._journal, self._link, oversized, self._clock, self._answers)

    def start(self) -> None:
        """Start connecting, polling and writing status reports; LoopWorker then runs the loop."""
        if self.settings.is_cluster_unwatched:
            logger().warning(
                "majority_unwatched",
                consequence="events are lost if the queue has no majority: set OM_MANAGEMENT_URL",
            )
        self.relay.start()
        if self.settings.management_urls:
            self._poller.start()
        self._tick()
        self._delete_expired()

    def stop(self, then: Callable[[], None]) -> None:
        """Publish the remaining events if the broker accepts them, close the journal, and call *then*."""
        self._poller.stop()
        self.relay.stop(then)

    def status(self) -> dict[str, Any]:
        """Return the state of this process, as JSON values."""
        return {
            "pid": os.getpid(),
            "accepting_at": self._clock.now_us() / 1_000_000 if self._is_accepting else 0.0,
            "journal": self.relay.status(),
            "gate": {**self._shedder.status(), "is_polled": bool(self.settings.management_urls)},
            "answers": self._answers.status(),
            "signatures": dict(zip(self._secret_ids, self.ingest.verified, strict=True)),
        }

    def health(self) -> Health:
        """Return a current health report on all edge processes of this host."""
        return report(self.status(), self.settings.journal_directory, self.settings.journal_max_bytes)

    def _on_report(self, report: QueueReport) -> None:
        self._link.on_report(report)
        if report.depth is not None:
            self._shedder.on_sample(report.depth)

    def _tick(self) -> None:
        self.loop.call_later(STATUS_SECONDS, self._tick)
        self._shedder.on_blocked(is_blocked=self.relay.is_blocked)
        self._shedder.tick()
        self._answers.tick(STATUS_SECONDS)
        self._write_status()

    def _leave(self) -> None:
        self._is_accepting = False
        self._write_status()

    def _write_status(self) -> None:
        if self._journal.directory is not None:
            write_status(self._journal.directory, self.status())

    def _is_yielding(self) -> bool:
        """Return whether this process's journal is nearly full while another process's journal has space."""
        if not self._journal.is_nearly_full:
            return False
        now = self._clock.monotonic()
        if now - self._peers_checked_at >= STATUS_SECONDS:
            self._peers_checked_at = now
            # Write our status first: otherwise, two full processes might leave new connections to each other.
            self._write_status()
            self._peer_has_room = has_peer_with_room(self.settings.journal_directory, os.getpid())
        return self._peer_has_room

    def _delete_expired(self) -> None:
        self.loop.call_later(DAY_SECONDS, self._delete_expired)
        days, now = self.settings.payload_days, self._clock.now_us() / 1_000_000
        delete_expired(self.settings.state_directory, days, now)
