"""Write the settings that a person may change, and the operator's omctl that knows them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

from omctl.installing.credentials import (
    EVENTS_HEADERS,
    GENESYS_SECRET,
    OWNER,
    REQUIRED_HEADERS,
    WEBHOOK_SECRETS,
)
from omctl.installing.files import file_step, kept_file_step, shipped
from omctl.installing.options import ACCOUNT, CREDENTIALS, DESTINATIONS, ENVIRONMENT
from omctl.installing.step import Step

if TYPE_CHECKING:
    from omctl.installing.options import Options

PROGRAM: Final = Path("/usr/local/sbin/omctl")

_CREDENTIAL_LINE: Final = re.compile(
    r"^#?(OM_(?:WEBHOOK_SECRETS|(?:REQUIRED|EVENTS)_HEADERS|(?:AMQP|MANAGEMENT|DATABASE)_URL))=.*$",
    re.MULTILINE,
)
_HEADING: Final = f"""\
# Settings of Open Messaging Ingest, read by every unit when it starts. Secrets, and addresses with
# one in them, stand in {CREDENTIALS}, a file each, and units get them as credentials: set none of
# them here.
"""
_PROGRAM: Final = """\
#!/bin/sh
# omctl of this host, as the owner of tables and queues. Written by omctl install.
set -eu
# Read as the units read it: sourced by a shell, some settings would mean something else.
export OM_SETTINGS_FILE="${{OM_SETTINGS_FILE:-{environment}}}"
# An installation gives each side its own credentials, never the owner's.
case "${{1:-}}" in install | uninstall) exec {prefix}/bin/omctl "$@" ;; esac
# om-api.socket listens there, whatever the edge itself is configured to.
export OM_BIND="${{OM_BIND:-{bind}}}"
export OM_WEBHOOK_SECRETS_FILE="${{OM_WEBHOOK_SECRETS_FILE:-{secrets}}}"
# The authorities that this host trusts, a cluster's own among them.
export REQUESTS_CA_BUNDLE="${{REQUESTS_CA_BUNDLE:-/etc/ssl/certs/ca-certificates.crt}}"
export OM_REQUIRED_HEADERS_FILE="${{OM_REQUIRED_HEADERS_FILE:-{required}}}"
export OM_EVENTS_HEADERS_FILE="${{OM_EVENTS_HEADERS_FILE:-{events}}}"
export OM_GENESYS_CLIENT_SECRET_FILE="${{OM_GENESYS_CLIENT_SECRET_FILE:-{platform}}}"
export CREDENTIALS_DIRECTORY="${{CREDENTIALS_DIRECTORY:-{owner}}}"
# As om-deliver has it. A secret_file of it without a directory is one of the owner's credentials here.
if [ -e {destinations} ]; then export OM_DESTINATIONS="${{OM_DESTINATIONS:-{destinations}}}"; fi
exec {prefix}/bin/omctl "$@"
"""


def configuration_steps(options: Options) -> list[Step]:
    """Return the steps to the settings' file, which stays as a person left it, and to omctl on the path."""
    return [
        kept_file_step(ENVIRONMENT, environment_text, mode=0o640),
        Step(f"let {ACCOUNT} alone read {ENVIRONMENT}", _is_private, _make_private),
        file_step(PROGRAM, lambda: program_text(options), mode=0o755),
    ]


def _is_private() -> bool:
    return (
        ENVIRONMENT.exists()
        and ENVIRONMENT.stat().st_mode & 0o777 == 0o640
        and ENVIRONMENT.group() == ACCOUNT
    )


def _make_private() -> None:
    """Processes read the file again at a reload; older installations let every account read it."""
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
        secrets=WEBHOOK_SECRETS,
        required=REQUIRED_HEADERS,
        events=EVENTS_HEADERS,
        platform=GENESYS_SECRET,
        owner=OWNER,
        bind=options.bind,
        prefix=options.prefix,
    )
