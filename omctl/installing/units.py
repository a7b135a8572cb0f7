"""Write the settings, the operator's omctl and the systemd units, and start or restart the services."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from omctl.installing import credentials
from omctl.installing.options import ACCOUNT, CREDENTIALS, DESTINATIONS, ENVIRONMENT, SCALER_ACCOUNT, Options
from omctl.installing.steps import (
    UNITS,
    Step,
    always,
    file_step,
    new_file_step,
    package_step,
    run,
    shipped,
    succeeds,
)

PROGRAM: Final = Path("/usr/local/sbin/omctl")
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
WORKER_SERVICES: Final = (
    "om-settle@1.service",
    "om-deliver@1.service",
    "om-reconcile.service",
    "om-observe.service",
)
SCALER: Final = "om-scaler.service"
NUMBERED: Final = ("om-worker@*", "om-settle@*", "om-deliver@*")
"""The units that om-scaler starts and stops by number."""

_CREDENTIAL_LINE: Final = re.compile(
    r"^#?(OM_(?:WEBHOOK_SECRETS|(?:REQUIRED|EVENTS)_HEADERS|(?:AMQP|MANAGEMENT|DATABASE)_URL))=.*$",
    re.MULTILINE,
)
_HEADING: Final = f"""\
# Settings of Open Messaging Ingest, read by every unit when it starts. Secrets, and addresses that contain
# one, are not set here: {CREDENTIALS} holds a file for each, which units load.
"""
_PROGRAM: Final = """\
#!/bin/sh
# omctl of this host, as the owner of tables and queues. Written by omctl install.
set -eu
# The file is read as the units read it: a shell would interpret some settings differently.
export OM_SETTINGS_FILE="${{OM_SETTINGS_FILE:-{environment}}}"
# An installation gives each side its own credentials, never the owner's.
case "${{1:-}}" in install | uninstall) exec {prefix}/bin/omctl "$@" ;; esac
# om-api.socket listens here, whatever the edge's own settings are.
export OM_BIND="${{OM_BIND:-{bind}}}"
export OM_WEBHOOK_SECRETS_FILE="${{OM_WEBHOOK_SECRETS_FILE:-{secrets}}}"
# The authorities that this host trusts, including the cluster's own.
export REQUESTS_CA_BUNDLE="${{REQUESTS_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}}"
export OM_REQUIRED_HEADERS_FILE="${{OM_REQUIRED_HEADERS_FILE:-{required}}}"
export OM_EVENTS_HEADERS_FILE="${{OM_EVENTS_HEADERS_FILE:-{events}}}"
export OM_GENESYS_CLIENT_SECRET_FILE="${{OM_GENESYS_CLIENT_SECRET_FILE:-{platform}}}"
export CREDENTIALS_DIRECTORY="${{CREDENTIALS_DIRECTORY:-{owner}}}"
# As for om-deliver. A secret_file without a directory is one of the owner's credentials here.
if [ -e {destinations} ]; then export OM_DESTINATIONS="${{OM_DESTINATIONS:-{destinations}}}"; fi
exec {prefix}/bin/omctl "$@"
"""


def account_step() -> Step:
    """Return the step that creates the units' accounts."""
    return Step(
        f"create the accounts {ACCOUNT} and {SCALER_ACCOUNT}",
        lambda: succeeds(["getent", "passwd", ACCOUNT, SCALER_ACCOUNT]),
        lambda: run(["systemd-sysusers", "-"], text=shipped("systemd/open-messaging.sysusers")),
    )


def configuration_steps(options: Options) -> list[Step]:
    """Return the steps that write the settings file, unless it exists, and omctl on the path."""
    return [
        new_file_step(ENVIRONMENT, environment_text, mode=0o640),
        Step(f"let only {ACCOUNT} read {ENVIRONMENT}", _is_private, _make_private),
        file_step(PROGRAM, lambda: program_text(options), mode=0o755),
    ]


def _is_private() -> bool:
    if not ENVIRONMENT.exists():
        return False
    return ENVIRONMENT.stat().st_mode & 0o777 == 0o640 and ENVIRONMENT.group() == ACCOUNT


def _make_private() -> None:
    """Processes read the file again at a reload."""
    shutil.chown(ENVIRONMENT, "root", ACCOUNT)
    ENVIRONMENT.chmod(0o640)


def environment_text() -> str:
    """Return the settings with their explanations, each at its default."""
    text = shipped("environment.example")
    return _HEADING + _CREDENTIAL_LINE.sub(lambda found: f"#   {CREDENTIALS}/.../{found[1]}", text)


def program_text(options: Options) -> str:
    """Return the program that runs omctl with this host's settings."""
    return _PROGRAM.format(
        environment=ENVIRONMENT,
        destinations=DESTINATIONS,
        secrets=credentials.WEBHOOK_SECRETS,
        required=credentials.REQUIRED_HEADERS,
        events=credentials.EVENTS_HEADERS,
        platform=credentials.GENESYS_SECRET,
        owner=credentials.OWNER,
        bind=options.bind,
        prefix=options.prefix,
    )


def unit_steps(options: Options) -> list[Step]:
    """Return the steps that write the units."""
    names = [*(EDGE_UNITS if options.is_edge else ()), *(WORKER_UNITS if options.is_worker else ())]
    polkit = [package_step("polkitd"), file_step(POLKIT_RULE, lambda: shipped("polkit/open-messaging.rules"))]
    return [
        package_step("ca-certificates"),
        *(polkit if options.is_worker else []),
        file_step(HARDENING, lambda: shipped("systemd/om-hardening.conf")),
        *(_unit_step(name, options) for name in names),
        always("reload systemd's units", lambda: run(["systemctl", "daemon-reload"])),
    ]


def _unit_step(name: str, options: Options) -> Step:
    return file_step(UNITS / name, lambda: render_unit(name, options))


def render_unit(name: str, options: Options) -> str:
    """Return a unit's text."""
    text = shipped(f"systemd/{name}")
    return text.replace("@PREFIX@", str(options.prefix)).replace("@BIND@", options.bind)


def start_steps(options: Options) -> list[Step]:
    """Return the steps that start the services, and restart running ones: their program may be older."""
    steps = []
    if options.is_worker:
        workers = [f"om-worker@{number}.service" for number in range(1, (options.workers or 1) + 1)]
        names = ["om-workers.target", *workers, *WORKER_SERVICES, "om-retain.timer"]
        steps += [_start_step(name) for name in names]
        if options.workers:
            disable = ["systemctl", "disable", "--now", "--quiet", SCALER]
            # Also after the next boot, only the chosen number may run.
            stop = "disable", "--now", "--quiet"
            steps.append(always(f"disable {SCALER}", lambda: run(disable)))
            steps.append(always("stop other workers", lambda: _for_others(names, *stop)))
        else:
            # Those that om-scaler has started run the previous program.
            steps.append(always("restart other workers", lambda: _for_others(names, "try-restart")))
            steps.append(_start_step(SCALER))
    if options.is_edge:
        # The socket goes on listening while the service restarts.
        steps += [
            _socket_step("om-api.socket"),
            _start_step("om-api.service"),
            _start_step("om-ipranges.timer"),
        ]
    return steps


def _start_step(name: str) -> Step:
    verb = "restart" if name.endswith(".service") else "start"

    def start() -> None:
        run(["systemctl", "enable", "--quiet", name])
        run(["systemctl", verb, name])

    return always(f"{verb} {name}", start)


def _socket_step(name: str) -> Step:
    """Restart a socket only if its unit has changed: a listening socket keeps its old port.

    Its service requires it and so restarts with it. Meanwhile senders are refused for a few seconds.
    """

    def start() -> None:
        run(["systemctl", "enable", "--quiet", name])
        run(["systemctl", "restart" if _is_older_than_its_unit(name) else "start", name])

    return always(f"start {name}, or restart it if it has changed", start)


def _is_older_than_its_unit(name: str) -> bool:
    """Return whether a unit became active in an earlier second than its file was written."""
    show = ["systemctl", "show", "--value", "--property=ActiveEnterTimestamp", "--timestamp=unix", name]
    since = run(show).strip().removeprefix("@")
    return since.isdigit() and int(since) < int((UNITS / name).stat().st_mtime)


def _for_others(known: Iterable[str], *verb: str) -> None:
    """Apply a verb of systemctl to the active numbered units that are not *known*."""
    listed = run(["systemctl", "list-units", "--plain", "--no-legend", "--state=active", *NUMBERED])
    for name in sorted({line.split()[0] for line in listed.splitlines()} - set(known)):
        run(["systemctl", *verb, name])
