"""omctl, also as `python -m omctl`: one table of commands, one place where errors become exit statuses."""

from __future__ import annotations

import sys

import click

from messaging.errors import EX_CONFIG, ConfigurationError, OpenMessagingError
from messaging.log import configure_logging
from omctl.commands import Commands
from omctl.console import visible


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="open-messaging-ingest")
def omctl() -> None:
    """Operate Open Messaging Ingest: set it up, look into it, feed it.

    Settings come from the same OM_ variables as the service's (deploy/environment.example lists them).
    Exit status: 0 well, 1 something is wrong, 2 wrong usage, 78 a setting is wrong or missing.
    """


def main() -> None:
    """Run the command line; the standard output is the command's alone, logs go to the standard error."""
    configure_logging("warning", process="omctl", stream=sys.stderr, as_text=True)
    try:
        omctl()
    except OpenMessagingError as error:
        click.echo(f"omctl: {visible(str(error))}", err=True)
        sys.exit(EX_CONFIG if isinstance(error, ConfigurationError) else 1)


if __name__ == "__main__":
    main()
