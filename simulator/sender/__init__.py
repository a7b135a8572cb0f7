"""How the platform would send it: signed, at a rate, again after a refusal."""

from simulator.sender.endpoint import WebhookEndpoint
from simulator.sender.retry_policy import RetryPolicy, is_retryable, retry_delay
from simulator.sender.sender import Sender
from simulator.sender.tally import Summary, Tally

__all__ = ["RetryPolicy", "Sender", "Summary", "Tally", "WebhookEndpoint", "is_retryable", "retry_delay"]
