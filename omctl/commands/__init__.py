"""One file for each command of omctl, or for one subject; this is their table."""

from __future__ import annotations

import pkgutil
from difflib import get_close_matches
from typing import Final

import click

GROUPS: Final = {
    "Install and connect": {
        "install": ("install:install", "Install or upgrade the service on this host"),
        "uninstall": ("install:uninstall", "Remove the service from this host"),
        "setup": ("setup:setup", "Declare the exchanges and queues"),
        "migrate": ("migrate:migrate", "Bring the tables to the newest revision"),
        "register": ("register:register", "Register the webhook at the platform"),
        "smoke": ("smoke:smoke", "Send a message through the platform and back"),
        "rotate-secret": ("rotate_secret:rotate_secret", "Replace the signing secret without a pause"),
        "ipranges": ("ipranges:ipranges", "Write the platform's addresses as an allow-list"),
    },
    "Look": {
        "check": ("check:check", "Show what is wrong and what to do"),
        "find": ("find:find", "Show what happened to a message or conversation"),
        "stats": ("stats:stats", "Show how well notifications arrive"),
        "drift": ("drift:drift", "Show unknown fields and values"),
    },
    "Repair": {
        "dead-letters": ("dead_letters:dead_letters", "List, replay or discard dead letters"),
        "replay": ("replay:replay", "Process past events again"),
        "reconcile": ("reconcile:reconcile", "Recover events that never arrived"),
        "ingest": ("ingest:ingest", "Publish events from a file"),
        "destinations": ("destinations:destinations", "Manage the services behind"),
    },
    "Personal data": {
        "erase": ("erase:erase", "Erase a customer or a conversation"),
        "retain": ("retain:retain", "Delete data older than its retention time"),
    },
    "Develop": {
        "sign": ("signature:sign", "Print the signature of a body"),
        "explain-signature": ("signature:explain_signature", "Explain why a signature is not valid"),
        "filter": ("filter:filters", "Check event filters"),
        "simulate": ("simulate:simulate", "Send events as the platform does"),
    },
}
COMMANDS: Final = {name: target for group in GROUPS.values() for name, (target, _) in group.items()}


class Commands(click.Group):
    """The commands of the table, each imported when it is called.

    Most commands need only some of the libraries, and importing all of them takes longer than most of their
    work.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command of that name, None if there is none."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f"{__name__}.{COMMANDS[cmd_name]}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments call; fail with a suggestion if there is none."""
        if args[0] not in COMMANDS:
            close = "".join(f" Did you mean {name}?" for name in get_close_matches(args[0], COMMANDS, 1))
            ctx.fail(f"There is no command {args[0]}.{close}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the groups with the table's short texts, without importing a command."""
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])
