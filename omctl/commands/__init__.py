"""One file for each command of omctl, all in the same shape; this is their table."""

from __future__ import annotations

import pkgutil
from typing import Final

import click

# In the order in which a service meets them.
COMMANDS: Final = {
    "install": "install:install",
    "uninstall": "install:uninstall",
    "setup": "setup:setup",
    "migrate": "migrate:migrate",
    "register": "register:register",
    "rotate-secret": "rotate_secret:rotate_secret",
    "check": "check:check",
    "destinations": "destinations:destinations",
    "dead-letters": "dead_letters:dead_letters",
    "replay": "replay:replay",
    "reconcile": "reconcile:reconcile",
    "ingest": "ingest:ingest",
    "stats": "stats:stats",
    "drift": "drift:drift",
    "filter": "filter:filters",
    "retain": "retain:retain",
    "erase": "erase:erase",
    "sign": "sign:sign",
    "explain-signature": "explain_signature:explain_signature",
    "ipranges": "ipranges:ipranges",
    "simulate": "simulate:simulate",
}


class Commands(click.Group):
    """The commands of the table, each read from its file when it is called.

    Most commands need a part of the libraries only, and importing all of them takes longer than most of their
    work.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click asks so
        """Name the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click asks so
        """Return the command of that name; None where the table has none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f"{__name__}.{COMMANDS[cmd_name]}")
        return command


__all__ = ["COMMANDS", "Commands"]
