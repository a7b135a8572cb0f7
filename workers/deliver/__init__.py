"""Deliver events from the outbox to the configured destinations, in order within each conversation."""

from workers.deliver.dead_letters import DeadLetterPublisher
from workers.deliver.deliverer import Deliverer
from workers.deliver.destinations import EVENT_TYPES, Destination, compute_digest, configured_destinations
from workers.deliver.outcome import Outcome
from workers.deliver.subscriptions import (
    OPERATOR,
    abandon_some,
    choose_dead,
    choose_old,
    choose_unplanned,
    choose_waiting,
    count,
    count_dead,
    newest_entry,
    pause,
    plan_some,
    resend,
    resume,
    subscribed_types,
    unsubscribe,
)
from workers.deliver.webhook import Transport, WebhookMessage
