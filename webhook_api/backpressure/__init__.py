"""Know how deep the queue is, and decide whether the edge takes more."""

from webhook_api.backpressure.admission import DepthSample, Watermarks
from webhook_api.backpressure.gate import Gate
from webhook_api.backpressure.queue_depth import Members, QueueDepthPoller, QueueReport

__all__ = ["DepthSample", "Gate", "Members", "QueueDepthPoller", "QueueReport", "Watermarks"]
