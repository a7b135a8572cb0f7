"""Write the settings file, omctl with its manual page, and the systemd units, and start the services."""

import re
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import click

from omctl.installing import steps
from omctl.installing.options import ACCOUNT, CREDENTIALS, ENVIRONMENT, SCALER_ACCOUNT, Options, Role
from omctl.installing.steps import UNITS, Step, always, commands, file_step, package_step, run, shipped

PROGRAM: Final = Path("/usr/local/sbin/omctl")
MANUAL: Final = Path("/usr/local/share/man/man1/omctl.1")
HARDENING: Final = UNITS / "om-.service.d" / "hardening.conf"
POLKIT_RULE: Final = Path("/etc/polkit-1/rules.d/50-open-messaging.rules")

SOCKET: Final = "om-api.socket"
SCALER: Final = "om-scaler.service"
TARGET: Final = "om-workers.target"
EDGE_UNITS: Final = (SOCKET, "om-api.service", "om-ipranges.service", "om-ipranges.timer")
WORKER_UNITS: Final = (
    "om-worker@.service",
    "om-settle@.service",
    "om-deliver@.service",
    "om-reconcile.service",
    "om-observe.service",
    SCALER,
    TARGET,
    "om-retain.service",
    "om-retain.timer",
)

_CREDENTIAL_LINE: Final = re.compile(
    r"^#?(OM_(?:WEBHOOK_SECRETS|(?:REQUIRED|EVENTS)_HEADERS|(?:AMQP|MANAGEMENT|DATABASE)_URL))=.*$",
    re.MULTILINE,
)
_HEADING: Final = f"""\
# Settings of Open Messaging Ingest, read by every unit when it starts. Secrets, and addresses that contain
# one, are not set here: {CREDENTIALS} holds a file for each, which units load.
"""


def check_roles(options: Options) -> None:
    """Raise an error if this host has units of a role that *options* omit: those would keep running."""
    drain = "let its journal drain as docs/install.md describes, then "
    for role, unit, first in ((Role.EDGE, SOCKET, drain), (Role.WORKER, TARGET, "")):
        if role not in options.roles and (UNITS / unit).exists():
            raise steps.InstallationError(
                f"this host also has the role {role}: {first}run `omctl uninstall`, which keeps settings and "
                f"data, and then `{options.prefix}/bin/omctl install --role {options.role}`"
            )


def account_step() -> Step:
    """Return the step that creates the accounts under which the units run."""
    return Step(
        f"create the accounts {ACCOUNT} and {SCALER_ACCOUNT}",
        lambda: steps.succeeds(f"getent passwd {ACCOUNT} {SCALER_ACCOUNT}"),
        lambda: run("systemd-sysusers -", text=shipped("systemd/open-messaging.sysusers")),
    )


def configuration_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that write the settings file (unless it exists), omctl and its manual page."""
    yield file_step(ENVIRONMENT, environment_text, mode=0o640, changes_stay=True)
    # The account must be able to read the file, because processes reread it on a reload.
    private = f"100640 {ACCOUNT}"
    yield Step(
        f"let only {ACCOUNT} read {ENVIRONMENT}",
        lambda: ENVIRONMENT.exists() and f"{ENVIRONMENT.stat().st_mode:o} {ENVIRONMENT.group()}" == private,
        commands(f"chown root:{ACCOUNT} {ENVIRONMENT}", f"chmod 640 {ENVIRONMENT}"),
    )
    yield file_step(PROGRAM, partial(render_unit, "omctl.sh", options), mode=0o755)
    yield file_step(MANUAL, render_manual)


def environment_text() -> str:
    """Return the text of the settings file: every setting with its explanation and default."""
    text = shipped("environment.example")
    return _HEADING + _CREDENTIAL_LINE.sub(lambda found: f"#   {CREDENTIALS}/.../{found[1]}", text)


def unit_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that write the systemd units of this host's roles."""
    yield package_step("ca-certificates")
    names: tuple[str, ...] = EDGE_UNITS if Role.EDGE in options.roles else ()
    if Role.WORKER in options.roles:
        names += WORKER_UNITS
        yield package_step("polkitd")
        yield file_step(POLKIT_RULE, lambda: shipped("polkit/open-messaging.rules"))
    yield file_step(HARDENING, lambda: shipped("systemd/om-hardening.conf"))
    for name in names:
        yield file_step(UNITS / name, partial(render_unit, name, options))
    yield always("reload systemd's units", commands("systemctl daemon-reload"))


def render_unit(name: str, options: Options) -> str:
    """Return the text of a systemd unit, or of omctl.sh, which runs omctl with this host's settings."""
    return shipped(f"systemd/{name}", PREFIX=str(options.prefix), BIND=options.bind)


def start_steps(options: Options) -> Iterator[Step]:
    """Yield the steps that start the services. Running services are restarted to run the new version."""
    if Role.WORKER in options.roles:
        workers = [f"worker@{number}" for number in range(1, (options.workers or 1) + 1)]
        services = (*workers, "settle@1", "deliver@1", "reconcile", "observe")
        names = [TARGET, *(f"om-{name}.service" for name in services), "om-retain.timer"]
        yield from map(_start_step, names)
        if options.workers:
            # Disable the scaler, so that it never changes the chosen number of workers, even after a reboot.
            yield always(f"disable {SCALER}", commands(f"systemctl disable --now --quiet {SCALER}"))
            yield always("stop other workers", lambda: _for_others(names, "disable --now --quiet"))
        else:
            # Restart the workers that om-scaler has started: they still run the previous version.
            yield always("restart other workers", lambda: _for_others(names, "try-restart"))
            yield _start_step(SCALER)
    if Role.EDGE in options.roles:
        # The socket continues to listen while the service restarts.
        yield always(f"start {SOCKET}, or restart it if it has changed", _start_socket)
        yield from map(_start_step, ("om-api.service", "om-ipranges.timer"))


def _start_step(name: str) -> Step:
    verb = "restart" if name.endswith(".service") else "start"
    return always(f"{verb} {name}", commands(f"systemctl enable --quiet {name}", f"systemctl {verb} {name}"))


def _start_socket() -> None:
    """Start the socket, or restart it if its unit has changed: a listening socket keeps its old port.

    Restarting the socket also restarts the service, and connections are refused for a few seconds.
    """
    run(f"systemctl enable --quiet {SOCKET}")
    # The active socket is outdated if it started before its unit file was written (compared in seconds).
    show = "systemctl show --value --property=ActiveEnterTimestamp --timestamp=unix"
    since = run(f"{show} {SOCKET}").strip().removeprefix("@")
    is_older = since.isdigit() and int(since) < int((UNITS / SOCKET).stat().st_mtime)
    run(f"systemctl {'restart' if is_older else 'start'} {SOCKET}")


def _for_others(known: Iterable[str], verb: str) -> None:
    """Run the systemctl command *verb* on each active numbered worker that is not in *known*."""
    numbered = "'om-worker@*' 'om-settle@*' 'om-deliver@*'"
    listed = run(f"systemctl list-units --plain --no-legend --state=active {numbered}")
    for name in sorted({line.split()[0] for line in listed.splitlines()} - set(known)):
        run(f"systemctl {verb} {name}")


def render_manual() -> str:
    """Return the manual page, which describes every command with its options, in groff markup."""
    # Import here to avoid a cycle: omctl.__main__ imports this module when it looks up `install`.
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
    context = click.Context(command, parent=parent, info_name=command.name, **command.context_settings)
    yield f'.SS "{_escape_groff(context.command_path)}"'
    yield from _describe_command(command, context)
    for subcommand in command.commands.values() if isinstance(command, click.Group) else ():
        yield from _list_commands(subcommand, context)


def _describe_command(command: click.Command, context: click.Context) -> Iterator[str]:
    yield f".B {_escape_groff(' '.join([context.command_path, *command.collect_usage_pieces(context)]))}"
    for paragraph in (command.help or "").split("\n\n"):
        yield from (".PP", _escape_groff(" ".join(paragraph.split())))
    for option in command.get_params(context):
        name, text = option.get_help_record(context) or ("", "")
        # An argument has no help text.
        if text:
            yield from (".TP", f".B {_escape_groff(name)}", _escape_groff(text))
    for block in (command.epilog or "").replace("\b\n", "").split("\n\n"):
        yield from (".PP", ".nf", _escape_groff(block), ".fi") if block else ()


def _escape_groff(text: str) -> str:
    """Escape *text* for groff, which reads a line that begins with a dot or an apostrophe as a request."""
    return re.sub(r"^(?=[.'])", r"\\&", text.replace("\\", r"\e").replace("-", r"\-"), flags=re.MULTILINE)
