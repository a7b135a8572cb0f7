"""Run omctl (or `python -m omctl`): look up the command, and turn errors into messages and exit statuses."""

import pkgutil
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, TextIO

import click

from messaging.errors import EX_CONFIG, ConfigurationError, OpenMessagingError
from omctl.interface import format_json, visible

GROUPS: Final = {
    "Install and connect": {
        "install": ("install:install", "Install or upgrade the service on this host"),
        "uninstall": ("install:uninstall", "Remove the service from this host"),
        "setup": ("connect.prepare:setup", "Declare the exchanges and queues"),
        "migrate": ("connect.prepare:migrate", "Migrate the tables to the newest revision"),
        "register": ("connect.register:register", "Register the webhook with the platform"),
        "smoke": ("connect.smoke:smoke", "Send a message through the platform and back"),
        "import-keys": ("connect.import_keys:import_keys", "Import keys from the guide's own code"),
        "rotate-secret": ("connect.rotate_secret:rotate_secret", "Replace the signing secret, step by step"),
        "ipranges": ("connect.ipranges:ipranges", "Write the platform's addresses as an allow-list"),
    },
    "Look": {
        "check": ("look.check:check", "Show what is wrong and what to do"),
        "find": ("look.find:find", "Show what happened to a message or conversation"),
        "stats": ("look.stats:stats", "Show how well notifications arrive"),
        "drift": ("look.drift:drift", "Show unknown fields and values"),
    },
    "Repair": {
        "dead-letters": ("repair.dead_letters:dead_letters", "List, replay or discard dead letters"),
        "replay": ("repair.replay:replay", "Process past events again"),
        "reconcile": ("repair.reconcile:reconcile", "Recover events that never arrived"),
        "ingest": ("repair.ingest:ingest", "Publish events from a file"),
        "destinations": ("repair.destinations:destinations", "Manage the services that receive events"),
    },
    "Personal data": {
        "erase": ("repair.erase:erase", "Erase a customer or a conversation"),
        "retain": ("repair.retain:retain", "Delete data older than its retention time"),
    },
    "Develop": {
        "sign": ("develop.signature:sign", "Print the signature of a body"),
        "explain-signature": ("develop.signature:explain_signature", "Explain why a signature is not valid"),
        "filter": ("develop.filter:filters", "Check event filters"),
        "simulate": ("develop.simulate:simulate", "Send events as the platform does"),
    },
}
COMMANDS: Final = {name: target for group in GROUPS.values() for name, (target, _) in group.items()}


class Commands(click.Group):
    """All commands in GROUPS. A command is imported only when called: importing them all takes too long."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        """Return the names of all commands, in the order of GROUPS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return the command named *cmd_name*, or None if it does not exist."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = pkgutil.resolve_name(f"omctl.{COMMANDS[cmd_name]}")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* begin with. If there is none, fail and suggest a similar name."""
        if args[0] not in COMMANDS:
            close = "".join(f" Did you mean {name}?" for name in get_close_matches(args[0], COMMANDS, 1))
            ctx.fail(f"There is no command {args[0]}.{close}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write each group and its commands with the short texts in GROUPS, without importing any command."""
        for title, group in GROUPS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in group.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="open-messaging-ingest")
@click.pass_obj
def omctl(log_stream: TextIO | None) -> None:
    """Operate Open Messaging Ingest.

    omctl reads the service's OM_ settings (listed in deploy/environment.example) from the file that
    OM_SETTINGS_FILE names and from the environment. Exit status: 0 for success, 1 for an error or a problem
    that was found, 2 for wrong usage, 78 for a wrong or missing setting.
    """
    if log_stream is not None:
        from messaging.log import configure_logging  # noqa: PLC0415  # slow to import

        configure_logging("warning", process="omctl", stream=log_stream, as_text=True)


def run(arguments: Sequence[str], log_stream: TextIO | None = None) -> int:
    """Run one command and return its exit status. Print an error as a sentence, and with --json also as JSON.

    Logs are written to *log_stream*; None leaves the logging configuration unchanged.
    """
    try:
        status = omctl.main(list(arguments), prog_name="omctl", standalone_mode=False, obj=log_stream)
    except click.Abort:
        return _report(1, "aborted", arguments)
    except click.ClickException as error:
        if isinstance(error, click.UsageError) and error.ctx is not None:
            click.echo(error.ctx.get_usage(), err=True)
        return _report(error.exit_code, error.format_message(), arguments)
    except OSError as error:
        # The text of an error that is not about a file might contain an address with a password.
        name = "the command failed" if error.filename is None else f"{error.filename} cannot be accessed"
        return _report(1, f"{name}: {error.strerror or 'unknown reason'}", arguments)
    except UnicodeError:
        return _report(1, "an argument or a file is not UTF-8 text", arguments)
    except OpenMessagingError as error:
        return _report(EX_CONFIG if isinstance(error, ConfigurationError) else 1, str(error), arguments)
    return status if isinstance(status, int) else 0


def _report(status: int, message: str, arguments: Sequence[str]) -> int:
    click.echo(f"omctl: {visible(message)}", err=True)
    if "--json" in arguments:
        click.echo(format_json({"error": {"status": status, "message": message}}))
    return status


def main() -> None:
    """Run omctl with this process's arguments. Logs go to standard error, results to standard output."""
    sys.exit(run(sys.argv[1:], sys.stderr))


if __name__ == "__main__":
    main()
