"""Generate the bodies that the platform would post, in both dialects, some malformed or out of order."""

from simulator.traffic.conversations import guide_envelope, native_channel
from simulator.traffic.event import SPOILERS, Post, compact, platform_timestamp
from simulator.traffic.plan import Dialect, TrafficPlan, longest_span, traffic
