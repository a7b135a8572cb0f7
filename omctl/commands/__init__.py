"""One file for each command of omctl, all in the same shape; this is their table."""

from omctl.commands.check import check
from omctl.commands.destinations import destinations
from omctl.commands.explain_signature import explain_signature
from omctl.commands.ipranges import ipranges
from omctl.commands.migrate import migrate
from omctl.commands.retain import retain
from omctl.commands.setup import setup
from omctl.commands.sign import curl_line, sign
from omctl.commands.simulate import simulate

COMMANDS = (setup, migrate, check, destinations, retain, sign, explain_signature, ipranges, simulate)

__all__ = [
    "COMMANDS",
    "check",
    "curl_line",
    "destinations",
    "explain_signature",
    "migrate",
    "retain",
    "setup",
    "sign",
    "simulate",
]
