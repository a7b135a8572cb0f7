"""Start and stop workers by their backlog."""

from workers.scale.fleet import Processes, Units
from workers.scale.scaler import (
    FleetLimits,
    FleetTarget,
    Observation,
    Scaler,
    count_due_conversations,
    count_due_deliveries,
    decide,
    make_scaler,
)
