"""Start and stop this host's workers according to their backlog."""

from workers.scale.fleet import Processes, Units
from workers.scale.scaler import FleetLimits, Scaler, make_scaler
