"""One file for each command of omctl, all in the same shape; this is their table."""

from omctl.commands.brake import brake
from omctl.commands.check import check
from omctl.commands.dead_letters import dead_letters
from omctl.commands.destinations import destinations
from omctl.commands.drift import drift
from omctl.commands.explain_signature import explain_signature
from omctl.commands.filter import filters
from omctl.commands.ingest import ingest
from omctl.commands.install import install, uninstall
from omctl.commands.ipranges import ipranges
from omctl.commands.migrate import migrate
from omctl.commands.reconcile import reconcile
from omctl.commands.register import register
from omctl.commands.replay import replay
from omctl.commands.retain import retain
from omctl.commands.rotate_secret import rotate_secret
from omctl.commands.setup import setup
from omctl.commands.sign import curl_line, sign
from omctl.commands.simulate import simulate
from omctl.commands.stats import stats

COMMANDS = (
    install,
    uninstall,
    setup,
    migrate,
    register,
    rotate_secret,
    check,
    destinations,
    dead_letters,
    replay,
    reconcile,
    ingest,
    stats,
    brake,
    drift,
    filters,
    retain,
    sign,
    explain_signature,
    ipranges,
    simulate,
)

__all__ = [
    "COMMANDS",
    "brake",
    "check",
    "curl_line",
    "dead_letters",
    "destinations",
    "drift",
    "explain_signature",
    "filters",
    "ingest",
    "install",
    "migrate",
    "reconcile",
    "register",
    "replay",
    "retain",
    "rotate_secret",
    "setup",
    "sign",
    "simulate",
    "stats",
    "uninstall",
]
