"""Consume queues on a process's loop: collect batches, have them processed, settle each delivery."""

from messaging.consuming.consumer import Consumer
from messaging.consuming.delivery import Delivery, Verdict
from messaging.consuming.processing import TimeLimits

__all__ = [
    "Consumer",
    "Delivery",
    "TimeLimits",
    "Verdict",
]
