"""Write the settings, the operator's omctl with its manual and the systemd units; start the services."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import click

from omctl.installing import credentials, steps
from omctl.installing.options import ACCOUNT, CREDENTIALS, DESTINATIONS, ENVIRONMENT, SCALER_ACCOUNT, Options
from omctl.installing.steps import UNITS, Step, always, commands, file_step, package_step, run, shipped

PROGRAM: Final = Path("/usr/local/sbin/omctl")
MANUAL: Final = Path("/usr/local/share/man/man1/omctl.1")
HARDENING: Final = UNITS / "om-.service.d" / "hardening.conf"
POLKIT_RULE: Final = Path("/etc/polkit-1/rules.d/50-open-messaging.rules")

EDGE_UNITS: Final = ("om-api.socket", "om-api.service", "om-ipranges.service", "om-ipranges.timer")
WORKER_UNITS: Final = (
    "om-worker@.service",
    "om-settle@.service",
    "om-deliver@.service",
    "om-reconcile.service",
    "om-observe.service",
    "om-scaler.service",
    "om-workers.target",
    "om-retain.service",
    "om-retain.timer",
)
WORKER_SERVICES: Final = tuple(
    f"om-{name}.service" for name in ("settle@1", "deliver@1", "reconcile", "observe")
)
SOCKET: Final = "om-api.socket"
SCALER: Final = "om-scaler.service"
NUMBERED: Final = "'om-worker@*' 'om-settle@*' 'om-deliver@*'"
"""The units that om-scaler starts and stops by number."""

_CREDENTIAL_LINE: Final = re.compile(
    r"^#?(OM_(?:WEBHOOK_SECRETS|(?:REQUIRED|EVENTS)_HEADERS|(?:AMQP|MANAGEMENT|DATABASE)_URL))=.*$",
    re.MULTILINE,
)
_HEADING: Final = f"""\
# Settings of Open Messaging Ingest, read by every unit when it starts. Secrets, and addresses that contain
# one, are not set here: {CREDENTIALS} holds a file for each, which units load.
"""
_PROGRAM: Final = f"""\
#!/bin/sh
# omctl of this host, as the owner of tables and queues. Written by omctl install.
set -eu
# The file is read as the units read it: a shell would interpret some settings differently.
export OM_SETTINGS_FILE="${{OM_SETTINGS_FILE:-{ENVIRONMENT}}}"
# An installation gives each side its own credentials, never the owner's.
case "${{1:-}}" in install | uninstall) exec @PREFIX@/bin/omctl "$@" ;; esac
# om-api.socket listens here, whatever the edge's own settings are.
export OM_BIND="${{OM_BIND:-@BIND@}}"
export OM_WEBHOOK_SECRETS_FILE="${{OM_WEBHOOK_SECRETS_FILE:-{credentials.WEBHOOK_SECRETS}}}"
# The authorities that this host trusts, including the cluster's own.
export REQUESTS_CA_BUNDLE="${{REQUESTS_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}}"
export OM_REQUIRED_HEADERS_FILE="${{OM_REQUIRED_HEADERS_FILE:-{credentials.REQUIRED_HEADERS}}}"
export OM_EVENTS_HEADERS_FILE="${{OM_EVENTS_HEADERS_FILE:-{credentials.EVENTS_HEADERS}}}"
export OM_GENESYS_CLIENT_SECRET_FILE="${{OM_GENESYS_CLIENT_SECRET_FILE:-{credentials.GENESYS_SECRET}}}"
export CREDENTIALS_DIRECTORY="${{CREDENTIALS_DIRECTORY:-{credentials.OWNER}}}"
# As for om-deliver. A secret_file without a directory is one of the owner's credentials here.
if [ -e {DESTINATIONS} ]; then export OM_DESTINATIONS="${{OM_DESTINATIONS:-{DESTINATIONS}}}"; fi
exec @PREFIX@/bin/omctl "$@"
"""


def account_step() -> Step:
    """Return the step that creates the units' accounts."""
    return Step(
        f"create the accounts {ACCOUNT} and {SCALER_ACCOUNT}",
        lambda: steps.succeeds(f"getent passwd {ACCOUNT} {SCALER_ACCOUNT}"),
        lambda: run("systemd-sysusers -", text=shipped("systemd/open-messaging.sysusers")),
    )


def configuration_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that write the settings file, unless it exists, and omctl with its manual."""
    yield file_step(ENVIRONMENT, environment_text, mode=0o640, changes_stay=True)
    # Processes read the file again at a reload.
    title = f"let only {ACCOUNT} read {ENVIRONMENT}"
    yield Step(
        title, _is_private, commands(f"chown root:{ACCOUNT} {ENVIRONMENT}", f"chmod 640 {ENVIRONMENT}")
    )
    yield file_step(PROGRAM, lambda: program_text(options), mode=0o755)
    yield file_step(MANUAL, render_manual)


def _is_private() -> bool:
    if not ENVIRONMENT.exists():
        return False
    return ENVIRONMENT.stat().st_mode & 0o777 == 0o640 and ENVIRONMENT.group() == ACCOUNT


def environment_text() -> str:
    """Return all settings with their explanations and defaults."""
    text = shipped("environment.example")
    return _HEADING + _CREDENTIAL_LINE.sub(lambda found: f"#   {CREDENTIALS}/.../{found[1]}", text)


def program_text(options: Options) -> str:
    """Return the program that runs omctl with this host's settings."""
    return _fill_in(_PROGRAM, options)


def unit_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that write the units."""
    yield package_step("ca-certificates")
    if options.is_worker:
        yield package_step("polkitd")
        yield file_step(POLKIT_RULE, lambda: shipped("polkit/open-messaging.rules"))
    yield file_step(HARDENING, lambda: shipped("systemd/om-hardening.conf"))
    for name in (*(EDGE_UNITS if options.is_edge else ()), *(WORKER_UNITS if options.is_worker else ())):
        yield file_step(UNITS / name, partial(render_unit, name, options))
    yield always("reload systemd's units", commands("systemctl daemon-reload"))


def render_unit(name: str, options: Options) -> str:
    """Return a unit's text."""
    return _fill_in(shipped(f"systemd/{name}"), options)


def _fill_in(text: str, options: Options) -> str:
    return text.replace("@PREFIX@", str(options.prefix)).replace("@BIND@", options.bind)


def start_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that start the services, and restart running ones, which may run an older version."""
    if options.is_worker:
        workers = [f"om-worker@{number}.service" for number in range(1, (options.workers or 1) + 1)]
        names = ["om-workers.target", *workers, *WORKER_SERVICES, "om-retain.timer"]
        yield from map(_start_step, names)
        if options.workers:
            # Disabled, so that only the chosen number of workers runs after the next boot, too.
            stop = "disable --now --quiet"
            yield always(f"disable {SCALER}", commands(f"systemctl {stop} {SCALER}"))
            yield always("stop other workers", lambda: _for_others(names, stop))
        else:
            # Workers that om-scaler has started still run the previous version.
            yield always("restart other workers", lambda: _for_others(names, "try-restart"))
            yield _start_step(SCALER)
    if options.is_edge:
        # The socket goes on listening while the service restarts.
        title = f"start {SOCKET}, or restart it if it has changed"
        yield always(title, _start_socket)
        yield from map(_start_step, ("om-api.service", "om-ipranges.timer"))


def _start_step(name: str) -> Step:
    verb = "restart" if name.endswith(".service") else "start"
    return always(f"{verb} {name}", commands(f"systemctl enable --quiet {name}", f"systemctl {verb} {name}"))


def _start_socket() -> None:
    """Restart the socket only if its unit has changed: a listening socket keeps its old port.

    Its service requires it and so restarts with it. Meanwhile senders are refused for a few seconds.
    """
    run(f"systemctl enable --quiet {SOCKET}")
    # Compare whole seconds: restart the socket if it became active before its file was written.
    show = "systemctl show --value --property=ActiveEnterTimestamp --timestamp=unix"
    since = run(f"{show} {SOCKET}").strip().removeprefix("@")
    is_older = since.isdigit() and int(since) < int((UNITS / SOCKET).stat().st_mtime)
    run(f"systemctl {'restart' if is_older else 'start'} {SOCKET}")


def _for_others(known: Iterable[str], verb: str) -> None:
    """Apply a verb of systemctl to the active numbered units that are not *known*."""
    listed = run(f"systemctl list-units --plain --no-legend --state=active {NUMBERED}")
    for name in sorted({line.split()[0] for line in listed.splitlines()} - set(known)):
        run(f"systemctl {verb} {name}")


def render_manual() -> str:
    """Return the manual page in groff's language: every command with its options."""
    # Imported here, because the command table refers to this module through `install`.
    from omctl.__main__ import GROUPS, omctl  # noqa: PLC0415

    root = click.Context(omctl, info_name="omctl", **omctl.context_settings)
    lines = ['.TH OMCTL 1 "" "Open Messaging Ingest"', ".SH NAME", r"omctl \- operate Open Messaging Ingest"]
    lines += [".SH SYNOPSIS", *_describe_command(omctl, root)]
    for title, names in GROUPS.items():
        lines.append(f'.SH "{title.upper()}"')
        for name in names:
            lines += _list_commands(omctl.get_command(root, name), root)
    return "\n".join([*lines, ""])


def _list_commands(command: click.Command | None, parent: click.Context) -> Iterator[str]:
    assert command is not None
    context = click.Context(command, parent=parent, info_name=command.name)
    yield f'.SS "{_escape_groff(context.command_path)}"'
    yield from _describe_command(command, context)
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _list_commands(subcommand, context)


def _describe_command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".B {_escape_groff(' '.join([context.command_path, *command.collect_usage_pieces(context)]))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield from (".PP", _escape_groff(" ".join(paragraph.split())))
    for record in (option.get_help_record(context) for option in command.get_params(context)):
        # An argument has no help text.
        yield from (
            (".TP", f".B {_escape_groff(record[0])}", _escape_groff(record[1]))
            if record and record[1]
            else ()
        )
    for block in (command.epilog or "").replace("\b\n", "").split("\n\n"):
        yield from (".PP", ".nf", _escape_groff(block), ".fi") if block else ()


def _escape_groff(text: str) -> str:
    """Escape *text* for groff, which reads a line that begins with a dot or an apostrophe as a request."""
    return re.sub(r"^(?=[.'])", r"\\&", text.replace("\\", r"\e").replace("-", r"\-"), flags=re.MULTILINE)
