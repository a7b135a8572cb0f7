"""What the platform would tell: conversations in both dialects, with everything that is known to hurt."""

from simulator.traffic.event import Post, compact
from simulator.traffic.malformed import SPOILERS
from simulator.traffic.plan import Dialect, TrafficPlan, traffic

__all__ = ["SPOILERS", "Dialect", "Post", "TrafficPlan", "compact", "traffic"]
