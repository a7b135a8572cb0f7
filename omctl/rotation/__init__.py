"""Take the webhook's secret through its life: a new one beside the old, used, then alone."""

from omctl.rotation.edges import Edges
from omctl.rotation.plan import STEPS, Facts, RotationError, Step, next_step
from omctl.rotation.rotation import PATIENCE_SECONDS, QUIET_SECONDS, Rotation, Times
from omctl.rotation.secrets_file import SecretsFile
from omctl.rotation.watch import Watch

__all__ = [
    "PATIENCE_SECONDS",
    "QUIET_SECONDS",
    "STEPS",
    "Edges",
    "Facts",
    "Rotation",
    "RotationError",
    "SecretsFile",
    "Step",
    "Times",
    "Watch",
    "next_step",
]
