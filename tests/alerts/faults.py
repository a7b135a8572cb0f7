"""Define the faults that strike the service, and the alerts that each fault must raise.

`fires` maps each alert that a fault must raise to the number of seconds until its condition can hold; the
rule's own `for` and PATIENCE_S are added. `along` names other alerts that the fault is allowed to raise.
`lasts` names alerts whose condition outlasts the fault, because its damage is not repaired.
"""

import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from simulator.platform import Fault as WrongAnswer
from tests.alerts.scaled import FACTOR
from tests.alerts.service import Service
from tests.chaos.faults.broker import SET_LIMIT, USUAL_LIMIT
from tests.chaos.faults.clock import library
from tests.services import post
from tests.waiting import wait_until

WEEK_S = 7 * 86400
REPORT_S = 10
"""Workers report their figures at this interval."""
CANARY_S = 75
"""A canary is sent every minute and has twelve seconds to arrive."""
COMPARISON_S = (900 + 180) // FACTOR + 10
OLD_S = 60
"""Some rules compare an age with one minute, and this limit is not scaled."""
OUTAGE = "Canary Gaps SuccessRateLow BudgetBurns DeliveriesLate WindowsLate"
"""Alerts that an outage can raise: it stops canaries, and webhooks that the platform gives up on are gaps."""


def unsigned_posts(service):
    for _ in range(60):
        assert post(service.url, b"{}", X_Hub_Signature_256="sha256=forged").status_code == 401
    yield


def malformed_events(service):
    for number in range(80):
        assert post(service.url, b"no JSON %d" % number).status_code == 200
    yield


def unknown_names(service):
    service.say(str(uuid.uuid4()), newField="next release")
    yield


def oversized_event(service):
    service.broker.evaluate(SET_LIMIT.format(20_000))
    assert post(service.url, b"x" * 30_000).status_code == 200
    yield
    service.broker.evaluate(SET_LIMIT.format(USUAL_LIMIT))


def full_disk(service):
    filler = service.state / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, int(0.92 * shutil.disk_usage(service.state).total))
    yield
    filler.unlink()


def no_list_for_a_week(service):
    moment = time.time() - WEEK_S - 3600
    os.utime(service.platform_list, (moment, moment))
    yield
    service.platform_list.touch()


def wrong_clock(service):
    ahead = {"LD_PRELOAD": str(library()), "FAKETIME": "+20s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
    worker = service.worker("ahead", "settle", **ahead)
    yield
    worker.stop()


def certificate_not_renewed(service):
    for _ in range(2):
        for name in ("certificate.pem", "key.pem"):
            own, other = (gateway.directory / name for gateway in (service.gateway, service.later_gateway))
            content = own.read_bytes()
            own.write_bytes(other.read_bytes())
            other.write_bytes(content)
        service.gateway.send(signal.SIGHUP)
        yield


def other_destinations_file(service):
    own = Path(service.product.settings["OM_DESTINATIONS"])
    other = own.with_name("other.toml")
    other.write_text(own.read_text().replace("[destinations.crm]", "[destinations.crm]\ntimeout = 5"))
    worker = service.worker("other", "deliver", OM_DESTINATIONS=str(other))
    yield
    worker.stop()


def paused_destination(service):
    service.product.omctl("destinations", "pause", "session")
    yield
    service.product.omctl("destinations", "resume", "session")


def answering(destination, status):
    def strike(service):
        service.statuses[destination] = WrongAnswer(status)
        yield
        del service.statuses[destination]

    strike.__name__ = f"{destination}_answers_{status}"
    return strike


def unreadable_row(service):
    conversation = str(uuid.uuid4())
    service.say(conversation)
    spoil = "UPDATE conversation_messages SET received_at = '{}' WHERE conversation_id = '{}'"
    wait_until(lambda: service.rows(spoil.format("55840-01-01", conversation)))
    yield
    service.rows(spoil.format("2026-01-01", conversation))


def platform_refuses_a_conversation(service):
    conversation = str(uuid.uuid4())
    service.contacts.is_forbidden = lambda asked: asked == conversation
    service.say(conversation, "updated", routing={"status": "CONTACT-QUEUED", "queueId": "queue-1"})
    yield


def killed_worker(service):
    service.spare.stop(signal.SIGKILL)
    yield
    service.spare.start()


def stopped_gateway(service):
    service.gateway.end(signal.SIGTERM, timeout=10)
    yield
    service.gateway.start()


def stopped_edge(service):
    service.edge.stop()
    yield
    service.edge.start()
    wait_until(lambda: service.product.is_connected(1))


def stopped_database(service):
    service.postgresql.stop()
    yield
    service.postgresql.start()


def stopped_intake(service):
    service.intake.stop()
    conversation = str(uuid.uuid4())
    while service.say(conversation) == 200:
        pass
    yield
    service.intake.start()


def stopped_settle_and_broker(service):
    for worker in (service.settle, service.spare):
        worker.stop()
    wait_until(lambda: service.rows("SELECT 1 FROM conversations WHERE window_opened_at < now()"), 60)
    service.broker.stop()
    wait_until(lambda: post(service.url, b"x" * 500_000).status_code == 503)
    yield
    service.broker.start()
    for worker in (service.settle, service.spare):
        worker.start()


def no_traffic(service):
    service.traffic.is_stopped = True
    yield


def lost_webhooks(service):
    """Drop some webhooks, and make the platform refuse to show one conversation's history."""
    service.shown.forbidden = str(uuid.uuid4())
    service.say(service.shown.forbidden)
    service.traffic.loses_webhooks = True
    yield
    service.traffic.loses_webhooks = False
    service.shown.forbidden = ""


def events_of_another_organisation(service):
    """Send webhooks whose events are missing from the platform's history."""
    for _ in range(20):
        shown, service.history.record = service.history.record, lambda _: None
        try:
            conversation = str(uuid.uuid4())
            for _ in range(5):
                service.say(conversation)
        finally:
            service.history.record = shown
    yield


def no_decision(_):
    """Leave the mismatch without an operator's decision, so that no further comparison begins."""
    yield


@dataclass(frozen=True)
class Fault:
    """A fault and its alerts. *strike* causes the fault, yields, and then ends the fault.

    `diluted` names alerts on a share of all events: the more good events came before, the later they fire.
    """

    strike: Callable[[Service], Iterator[None]]
    fires: Mapping[str, float]
    along: str = ""
    lasts: str = ""
    diluted: str = ""

    def __str__(self) -> str:
        return self.strike.__name__

    @property
    def allowed(self):
        """The names of all alerts that may fire because of this fault."""
        return {*self.fires, *self.along.split(), *self.lasts.split()}


def fault(strike, along="", lasts="", diluted="", **fires):
    return Fault(strike, fires, along, lasts, diluted)


INDEPENDENT = (
    fault(unsigned_posts, Unauthorised=0),
    fault(malformed_events, lasts="DeadLetters", DeadLetters=0, DeadLetterShare=REPORT_S),
    fault(unknown_names, lasts="Drift", Drift=REPORT_S),
    fault(oversized_event, lasts="SetAside", SetAside=0),
    fault(full_disk, DiskFills=0),
    fault(no_list_for_a_week, PlatformListOld=0),
    fault(wrong_clock, Clock=REPORT_S),
    fault(certificate_not_renewed, CertificateExpires=0),
    fault(other_destinations_file, DestinationsDiffer=REPORT_S),
    fault(paused_destination, "DeliveriesLate", DestinationPaused=0),
    fault(answering("content", 503), DestinationDown=REPORT_S, DeliveriesLate=300 // FACTOR),
    fault(answering("routing", 404), DestinationRefusing=30 + REPORT_S),
    fault(answering("crm", 422), lasts="DeadLetters", EventsRefused=2 * REPORT_S),
    fault(unreadable_row, lasts="ConversationsUnsettled WindowsLate", ConversationsUnsettled=2),
    fault(platform_refuses_a_conversation, UpdatesUndecided=600 // FACTOR + REPORT_S),
    fault(killed_worker, WorkerSilent=OLD_S),
)
LOST_WEBHOOKS = fault(
    lost_webhooks,
    lasts="SuccessRateLow",
    diluted="SuccessRateLow",
    Gaps=COMPARISON_S,
    SuccessRateLow=COMPARISON_S + 100,
    HistoryUnreadable=COMPARISON_S,
    ConversationsPassedOver=COMPARISON_S,
)
OUTAGES = (
    (fault(stopped_database, f"EdgeDown QueueNotDrained WorkerSilent {OUTAGE}", DatabaseAway=4),),
    (fault(stopped_intake, OUTAGE, QueueNotDrained=0, Shedding=0, BudgetBurns=10, Canary=CANARY_S),),
    (
        fault(
            stopped_settle_and_broker,
            f"QueueNotDrained Shedding UpdatesUndecided {OUTAGE}",
            BrokerAway=0,
            ProofLate=OLD_S,
            WindowsLate=OLD_S,
            JournalFills=0,
            EdgeRefuses=0,
        ),
    ),
    (fault(no_traffic, lasts="Silence", Silence=40),),
)
PARTS = (
    (
        LOST_WEBHOOKS,
        (
            INDEPENDENT,
            (fault(stopped_gateway, "Canary", GatewayDown=0),),
            (fault(stopped_edge, f"GatewayDown {OUTAGE}", EdgeDown=0),),
        ),
    ),
    (fault(events_of_another_organisation, ReconciliationMismatch=COMPARISON_S), ()),
    (fault(no_decision, ReconciliationLate=3600 // FACTOR), OUTAGES),
)
"""Each entry is a fault in the comparison with the platform's history, and the stages of faults alongside it.

The faults in a stage strike at the same time, because they are independent of each other. The outages come
last, because the comparison waits for late events after an outage.
"""
