"""Start and stop workers by their backlog."""

from workers.scale.fleet import Processes, Units
from workers.scale.scaler import FleetLimits, Scaler, make_scaler
