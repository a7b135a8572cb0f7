"""Bring the service up on a Debian VM under systemd, bring it up to date, and take it away again."""

from omctl.installing.files import replace
from omctl.installing.firewall import rules
from omctl.installing.gateway import REFUSE_UNLISTED, SITE
from omctl.installing.installation import plan_installation
from omctl.installing.kept_options import BOTH, options_of
from omctl.installing.options import ENVIRONMENT, Options, Role
from omctl.installing.removal import plan_removal, purge_steps
from omctl.installing.step import InstallationError, Step, carry_out

__all__ = [
    "BOTH",
    "ENVIRONMENT",
    "REFUSE_UNLISTED",
    "SITE",
    "InstallationError",
    "Options",
    "Role",
    "Step",
    "carry_out",
    "options_of",
    "plan_installation",
    "plan_removal",
    "purge_steps",
    "replace",
    "rules",
]
