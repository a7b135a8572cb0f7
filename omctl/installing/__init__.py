"""Install the service on a Debian host under systemd, upgrade it, and remove it."""

from omctl.installing.gateway import REFUSE_UNLISTED, SITE, firewall_rules
from omctl.installing.installation import plan_installation
from omctl.installing.options import BOTH, ENVIRONMENT, Options, Role, resolve_options
from omctl.installing.removal import plan_removal, purge_steps
from omctl.installing.steps import InstallationError, Step, replace, run_steps
