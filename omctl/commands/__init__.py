"""One file for each command of omctl, all in the same shape; this is their table."""

from omctl.commands.check import check
from omctl.commands.migrate import migrate
from omctl.commands.retain import retain
from omctl.commands.setup import setup
from omctl.commands.sign import curl_line, sign
from omctl.commands.simulate import simulate

COMMANDS = (setup, migrate, check, retain, sign, simulate)

__all__ = ["COMMANDS", "check", "curl_line", "migrate", "retain", "setup", "sign", "simulate"]
