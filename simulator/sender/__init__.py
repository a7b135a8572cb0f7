"""Send posts as the platform would: signed, at a rate, and again after a failure."""

from simulator.sender.endpoint import RetryPolicy, WebhookEndpoint, is_retryable, retry_delay
from simulator.sender.sender import Sender, Summary, Tally
