"""Reach the broker: its addresses, and the connection of an asyncio loop."""

from messaging.broker.addresses import ATTEMPT_SECONDS, parameters_of, virtual_host
from messaging.broker.connection import CLOSE_SECONDS, BrokerConnection, confirms_within
from messaging.broker.delivery_frames import DeliveryReader, Receiver
from messaging.broker.reasons import NO_LIMIT, described, size_limit_of

__all__ = [
    "ATTEMPT_SECONDS",
    "CLOSE_SECONDS",
    "NO_LIMIT",
    "BrokerConnection",
    "DeliveryReader",
    "Receiver",
    "confirms_within",
    "described",
    "parameters_of",
    "size_limit_of",
    "virtual_host",
]
