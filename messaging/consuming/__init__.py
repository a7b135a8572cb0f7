"""Consume queues on an asyncio loop: collect batches of deliveries, process them, and settle each one."""

from messaging.consuming.consumer import Consumer
from messaging.consuming.delivery import Delivery, Settlement
