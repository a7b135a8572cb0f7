"""Deliver the outbox to the services behind, in order within each conversation."""

from workers.deliver.backfilling import (
    abandon_old,
    abandon_some,
    count_unplanned,
    count_waiting,
    newest_entry,
    plan_some,
)
from workers.deliver.dead_letters import DeadLetterPublisher
from workers.deliver.deliverer import Deliverer
from workers.deliver.destinations import EVENT_TYPES, Destination, digest_of, read_destinations
from workers.deliver.failed_receipts import FailedReceipts
from workers.deliver.message import Message, body_of
from workers.deliver.registry import OPERATOR, pause, resume, subscribed_types, unsubscribe
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
    "abandon_old",
    "abandon_some",
    "body_of",
    "configured_destinations",
    "count_dead",
    "count_unplanned",
    "count_waiting",
    "digest_of",
    "newest_entry",
    "pause",
    "plan_some",
    "read_deliver_settings",
    "read_destinations",
    "resend",
    "resume",
    "subscribed_types",
    "unsubscribe",
]
