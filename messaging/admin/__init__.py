"""Do what a person or a rare piece of work waits for: over blocking connections, each publish confirmed."""

from messaging.admin.dead_letter_queue import (
    MAX_WINDOW,
    DeadLetterQueue,
    Letter,
    dead_letters_in_hand,
)
from messaging.admin.dead_lettering import DestinationLetter, publish_dead_letters
from messaging.admin.republishing import Republisher, republisher
from messaging.admin.session import broker_session
from messaging.admin.topology_objects import BrokerObject, ObjectState, inspect, set_up
from messaging.admin.waiting import peek, waiting_events

__all__ = [
    "MAX_WINDOW",
    "BrokerObject",
    "DeadLetterQueue",
    "DestinationLetter",
    "Letter",
    "ObjectState",
    "Republisher",
    "broker_session",
    "dead_letters_in_hand",
    "inspect",
    "peek",
    "publish_dead_letters",
    "republisher",
    "set_up",
    "waiting_events",
]
