"""Check the exchanges and queues over AMQP, and whether the journal's release is safe on a cluster."""

from typing import Final

from messaging import topology
from messaging.admin import BrokerObject, ObjectState, broker_session, inspect
from messaging.errors import BrokerUnavailableError, ConfigurationError
from omctl.look.findings import Finding, Level

AREA: Final = "broker"


def check_broker(urls: tuple[str, ...]) -> list[Finding]:
    """Return the state of the broker's objects; blocks for some seconds if no broker answers."""
    try:
        with broker_session(urls, client_name="omctl check") as connection:
            objects = inspect(connection)
    except (BrokerUnavailableError, ConfigurationError) as error:
        return [Finding(AREA, "connection", Level.PROBLEM, "does not work", str(error))]
    return [Finding(AREA, "connection", Level.OK, "the broker answers"), *map(judge_object, objects)]


def judge_object(item: BrokerObject) -> Finding:
    """Judge one exchange or queue."""
    subject = f"{item.kind} {item.name}"
    if item.state is ObjectState.MISSING:
        return Finding(AREA, subject, Level.PROBLEM, "is missing", "Run omctl setup.")
    if item.state is not ObjectState.EXISTS:
        return Finding(AREA, subject, Level.PROBLEM, item.explanation, "Run omctl setup: it says what to do.")
    if item.kind == "exchange":
        return Finding(AREA, subject, Level.OK, "exists")
    level, advice = Level.WARNING, ""
    if item.name == topology.EVENTS_QUEUE and not item.consumers:
        advice = "No worker consumes events: start one with python -m workers intake."
    elif item.name == topology.DEAD_LETTERS and item.ready:
        advice = "omctl dead-letters list shows the reasons."
    elif item.name == topology.UNROUTED and item.ready and not item.consumers:
        advice = "Events matched no binding: run omctl setup; intake takes them from here."
    else:
        level = Level.OK
    return Finding(AREA, subject, level, f"exists, {item.ready} ready, {item.consumers} consumers", advice)


def check_proof(brokers: int, management_urls: int, *, has_confirms: bool) -> list[Finding]:
    """Return what releases journal entries, and whether that is safe.

    Args:
        brokers: Number of addresses in OM_AMQP_URL.
        management_urls: Number of addresses in OM_MANAGEMENT_URL.
        has_confirms: OM_PUBLISHER_CONFIRMS.
    """
    subject = "release of the journal"
    if has_confirms:
        return [Finding(AREA, subject, Level.OK, "by publisher confirms")]
    if not brokers:
        return []
    if brokers == 1:
        return [Finding(AREA, subject, Level.OK, "by the barrier, with one broker")]
    if not management_urls:
        text = f"{brokers} brokers are configured but no management API: events may be lost unnoticed"
        advice = (
            "Set OM_MANAGEMENT_URL, an address for each broker, or OM_PUBLISHER_CONFIRMS=true: without a "
            "majority, a queue silently drops what is published to it."
        )
        return [Finding(AREA, subject, Level.PROBLEM, text, advice)]
    if management_urls != brokers:
        text = f"{brokers} brokers are configured, but {management_urls} addresses of the management API"
        advice = "Set one for each broker in the same order, so that each node reports for itself."
        return [Finding(AREA, subject, Level.WARNING, text, advice)]
    return [Finding(AREA, subject, Level.OK, "by the barrier, while the queue has a majority")]
