"""Replace the webhook's secret while events arrive: add a new one, switch to it, then drop the old one."""

from omctl.rotation.plan import STEPS, Facts, RotationError, RotationStep, Watch, next_step
from omctl.rotation.rotate import QUIET_SECONDS, TIMEOUT_SECONDS, Rotation, read_signatures
from omctl.rotation.secrets_file import SecretsFile
