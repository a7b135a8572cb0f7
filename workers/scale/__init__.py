"""Start and stop intake workers by what waits in the queue."""

from workers.scale.decision import Bounds, Decision, Observation, decide
from workers.scale.fleet import Fleet, Processes, Units
from workers.scale.scaler import Scaler
from workers.scale.settings import ScaleSettings, read_scale_settings

__all__ = [
    "Bounds",
    "Decision",
    "Fleet",
    "Observation",
    "Processes",
    "ScaleSettings",
    "Scaler",
    "Units",
    "decide",
    "read_scale_settings",
]
