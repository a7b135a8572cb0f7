"""Know how deep the queue is, and decide whether the edge takes more."""

from webhook_api.pressure.admission import DepthSample, Watermarks
from webhook_api.pressure.gate import Gate
from webhook_api.pressure.queue_depth import Members, QueueDepthPoller, QueueReport

__all__ = ["DepthSample", "Gate", "Members", "QueueDepthPoller", "QueueReport", "Watermarks"]
