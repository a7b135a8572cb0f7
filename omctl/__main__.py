"""omctl, also as `python -m omctl`: the one place where errors become messages and exit statuses."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from messaging.errors import EX_CONFIG, ConfigurationError, OpenMessagingError
from omctl.commands import Commands
from omctl.console import print_json, visible

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TextIO


@click.group(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
@click.version_option(package_name="open-messaging-ingest")
@click.pass_obj
def omctl(log_stream: TextIO | None) -> None:
    """Operate Open Messaging Ingest.

    Settings are the service's OM_ variables (deploy/environment.example lists them), or the file that
    OM_SETTINGS_FILE names. Exit status: 0 success, 1 something is wrong, 2 wrong usage, 78 a setting is wrong
    or missing.
    """
    if log_stream is not None:
        from messaging.log import configure_logging  # noqa: PLC0415  # slow to import

        configure_logging("warning", process="omctl", stream=log_stream, as_text=True)


def run(arguments: Sequence[str], log_stream: TextIO | None = None) -> int:
    """Run one command; return its exit status. An error is one sentence, with --json also an object.

    Logs go to *log_stream*; None leaves logging as it is configured.
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
        name = "a file" if error.filename is None else error.filename
        return _report(1, f"{name} cannot be accessed: {error.strerror or 'unknown reason'}", arguments)
    except OpenMessagingError as error:
        return _report(EX_CONFIG if isinstance(error, ConfigurationError) else 1, str(error), arguments)
    return status if isinstance(status, int) else 0


def _report(status: int, message: str, arguments: Sequence[str]) -> int:
    click.echo(f"omctl: {visible(message)}", err=True)
    if "--json" in arguments:
        print_json({"error": {"status": status, "message": message}})
    return status


def main() -> None:
    """Run the command line; standard output belongs to the command."""
    sys.exit(run(sys.argv[1:], sys.stderr))


if __name__ == "__main__":
    main()
