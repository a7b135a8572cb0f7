"""Consume queues on an asyncio loop: collect batches, process them, settle each delivery."""

from messaging.consuming.consumer import Consumer
from messaging.consuming.delivery import Delivery, Settlement
