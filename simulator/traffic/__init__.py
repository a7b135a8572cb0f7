"""The bodies that the platform would post: conversations in both dialects, some of them troublesome."""

from simulator.traffic.conversations import guide_envelope, native_channel
from simulator.traffic.event import SPOILERS, Post, compact, platform_timestamp
from simulator.traffic.plan import Dialect, TrafficPlan, longest_span, traffic
