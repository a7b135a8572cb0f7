"""Deliver the outbox to the services behind, in order within each conversation."""

from workers.deliver.dead_letters import DeadLetterPublisher
from workers.deliver.deliverer import Deliverer
from workers.deliver.destinations import EVENT_TYPES, Destination, read_destinations
from workers.deliver.failed_receipts import FailedReceipts
from workers.deliver.message import Message, body_of
from workers.deliver.registry import OPERATOR, pause, resume
from workers.deliver.resending import DeadChoice, count_dead, resend
from workers.deliver.settings import DeliverSettings, configured_destinations, read_deliver_settings
from workers.deliver.transport import Transport

__all__ = [
    "EVENT_TYPES",
    "OPERATOR",
    "DeadChoice",
    "DeadLetterPublisher",
    "DeliverSettings",
    "Deliverer",
    "Destination",
    "FailedReceipts",
    "Message",
    "Transport",
    "body_of",
    "configured_destinations",
    "count_dead",
    "pause",
    "read_deliver_settings",
    "read_destinations",
    "resend",
    "resume",
]
