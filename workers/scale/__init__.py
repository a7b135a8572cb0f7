"""Start and stop workers by their backlog."""

from workers.scale.backlog import (
    CONVERSATIONS_PER_SETTLER,
    DELIVERIES_PER_DELIVERER,
    backlog_of,
    due_conversations,
    due_deliveries,
)
from workers.scale.decision import Bounds, Decision, Observation, decide
from workers.scale.fleet import Fleet, Processes, Units
from workers.scale.scaler import Scaler
from workers.scale.settings import ScaleSettings, read_scale_settings

__all__ = [
    "CONVERSATIONS_PER_SETTLER",
    "DELIVERIES_PER_DELIVERER",
    "Bounds",
    "Decision",
    "Fleet",
    "Observation",
    "Processes",
    "ScaleSettings",
    "Scaler",
    "Units",
    "backlog_of",
    "decide",
    "due_conversations",
    "due_deliveries",
    "read_scale_settings",
]
