"""Start and stop workers by their backlog."""

from workers.scale.fleet import Processes, Units
from workers.scale.scaler import (
    CONVERSATIONS_PER_SETTLER,
    DELIVERIES_PER_DELIVERER,
    FleetLimits,
    FleetTarget,
    Observation,
    Scaler,
    count_due_conversations,
    count_due_deliveries,
    decide,
    make_backlog_reader,
)
