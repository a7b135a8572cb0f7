"""Measure the depth of the events queue, and decide whether the edge accepts more events."""

from webhook_api.backpressure.admission import DepthSample, Watermarks
from webhook_api.backpressure.depth_poller import DepthPoller, QueueReport
from webhook_api.backpressure.load_shedder import LoadShedder
