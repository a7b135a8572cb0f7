"""Start and stop workers by their backlog."""

from workers.scale.backlog import (
    CONVERSATIONS_PER_SETTLER,
    DELIVERIES_PER_DELIVERER,
    count_due_conversations,
    count_due_deliveries,
    make_backlog_reader,
)
from workers.scale.fleet import Processes, Units
from workers.scale.scaler import FleetLimits, FleetTarget, Observation, Scaler, decide
from workers.scale.settings import ScaleSettings, read_scale_settings

__all__ = [
    "CONVERSATIONS_PER_SETTLER",
    "DELIVERIES_PER_DELIVERER",
    "FleetLimits",
    "FleetTarget",
    "Observation",
    "Processes",
    "ScaleSettings",
    "Scaler",
    "Units",
    "count_due_conversations",
    "count_due_deliveries",
    "decide",
    "make_backlog_reader",
    "read_scale_settings",
]
