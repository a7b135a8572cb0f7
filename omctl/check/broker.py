"""Look at the exchanges and queues over AMQP."""

from __future__ import annotations

from messaging import topology
from messaging.admin import BrokerObject, ObjectState, broker_session, inspect
from messaging.errors import BrokerUnavailableError, ConfigurationError
from omctl.check.finding import Finding, Level

AREA = "broker"


def check_broker(urls: tuple[str, ...]) -> list[Finding]:
    """Return what is found; blocks for some seconds where no broker answers."""
    try:
        with broker_session(urls, client_name="omctl check") as connection:
            objects = inspect(connection)
    except (BrokerUnavailableError, ConfigurationError) as error:
        return [Finding(AREA, "connection", Level.PROBLEM, "does not work", str(error))]
    return [Finding(AREA, "connection", Level.OK, "the broker answers"), *map(object_finding, objects)]


def object_finding(item: BrokerObject) -> Finding:
    """Judge one exchange or queue."""
    subject = f"{item.kind} {item.name}"
    if item.state is ObjectState.MISSING:
        return Finding(AREA, subject, Level.PROBLEM, "is missing", "Run omctl setup.")
    if item.state is not ObjectState.EXISTS:
        return Finding(
            AREA, subject, Level.PROBLEM, item.explanation, "Run omctl setup for what to do about it."
        )
    if item.kind == "exchange":
        return Finding(AREA, subject, Level.OK, "is as it should be")
    return _queue_finding(subject, item)


def _queue_finding(subject: str, item: BrokerObject) -> Finding:
    text = f"is as it should be, {item.ready} ready, {item.consumers} consumers"
    if item.name == topology.EVENTS_QUEUE and not item.consumers:
        return Finding(
            AREA, subject, Level.WARNING, text, "Nothing consumes events: python -m workers intake"
        )
    if item.name == topology.DEAD_LETTERS and item.ready:
        advice = "Read the table dead_letters for their reasons."
        return Finding(AREA, subject, Level.WARNING, text, advice)
    if item.name == topology.UNROUTED and item.ready and not item.consumers:
        advice = "Events met no binding: run omctl setup; intake takes them from here."
        return Finding(AREA, subject, Level.WARNING, text, advice)
    return Finding(AREA, subject, Level.OK, text)
