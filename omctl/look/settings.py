"""Check the settings, and explain each one: its value, source, effect and how to apply a new value."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

from messaging.environment import Environment, file_variables, variables_now
from messaging.errors import ConfigurationError
from messaging.settings import EXAMPLE, unknown_settings
from omctl.connect.registration import read_configured
from omctl.installing.options import Role
from omctl.look.findings import Finding, ok, problem, warning
from webhook_api.settings import FIXED, EdgeSettings
from workers.deliver import configured_destinations
from workers.genesys import read_genesys_settings
from workers.settings import IntakeSettings

URLS: Final = ("OM_DATABASE_URL", "OM_GENESYS_API_URL", "OM_CANARY_URL")
URL_LISTS: Final = ("OM_AMQP_URL", "OM_MANAGEMENT_URL")
SECRETS: Final = (
    "OM_WEBHOOK_SECRETS",
    "OM_REQUIRED_HEADERS",
    "OM_EVENTS_HEADERS",
    "OM_GENESYS_CLIENT_SECRET",
)

HIDDEN: Final = "set"
"""Shown instead of a URL if its secret parts cannot be reliably separated from the rest."""

RESTART: Final = "restart"
RELOAD: Final = "reload"
BOTH: Final = "reload of the edge, restart of the others"

_EXAMPLE: Final = re.compile(r"^# -+ (.+?) -+$|^((?:# .*\n)+)#?(OM_[A-Z_]+)=(.*)$", re.MULTILINE)
"""Matches either a section's heading or a setting's explanation, name and value in the example file."""
_DEFAULT: Final = re.compile(r"No default|Default: ([^.,;]+)")
_AMBIGUOUS: Final = re.compile(r"[?#].*@", re.DOTALL)
"""Matches a `?` or `#` before an `@`, which might be part of the password or might end the path."""

_APPLIED_BY: Final = {
    # These settings need a restart, because gunicorn's master process reads them only once.
    **dict.fromkeys(FIXED.values(), RESTART),
    **dict.fromkeys(("OM_WEBHOOK_SECRETS", "OM_LOG_LEVEL"), RELOAD),
    **dict.fromkeys(("OM_AMQP_URL", "OM_MANAGEMENT_URL"), BOTH),
}


def check_settings(roles: frozenset[Role] = frozenset(Role)) -> Iterator[Finding]:
    """Yield findings about the OM_ variables that are set, and whether *roles*' processes would start."""
    variables = {name: value for name, value in sorted(variables_now().items()) if name.startswith("OM_")}
    readers: dict[str, Callable[[], object]] = {}
    if Role.EDGE in roles:
        readers["edge"] = EdgeSettings.from_environment
    if Role.WORKER in roles:
        readers["intake"] = IntakeSettings.from_environment
        readers["destinations"] = lambda: configured_destinations(Environment())
    readers["platform"] = lambda: read_genesys_settings(Environment())
    # Read OM_REGISTRATION inside the function: reading it can fail if its value is in a file.
    readers["registration"] = lambda: (
        Environment().string("OM_REGISTRATION") and read_configured(Environment())
    )
    if not variables:
        advice = (
            "Give omctl the service's settings: OM_SETTINGS_FILE=/etc/open-messaging/environment, or "
            "`. var/environment` in a checkout."
        )
        yield problem("environment", "has no OM_ settings", advice)
    yield from (judge_setting(name, value) for name, value in variables.items())
    for process, read in readers.items():
        try:
            read()
            yield ok(process, "would start with these settings")
        except ConfigurationError as error:
            yield problem(process, "would refuse to start", str(error))
    yield from judge_secrets(file_variables())


def judge_setting(name: str, value: str) -> Finding:
    """Judge one OM_ variable. The value of an unknown variable is not shown: it might be a secret."""
    if advice := unknown_settings([name]).get(name):
        return warning(name, "is not a setting", advice)
    return ok(name, show_value(name, value))


def judge_secrets(in_file: Mapping[str, str]) -> list[Finding]:
    """Return a warning for each secret in the settings file: every unit gets that file's variables."""
    advice = "Move it to a file of this name in /etc/open-messaging/credentials (docs/install.md)."
    return [
        warning(name, "is a secret in the settings file", advice)
        for name in (*SECRETS, *URL_LISTS, "OM_DATABASE_URL")
        if in_file.get(name, "").strip()
    ]


def show_value(name: str, value: str) -> str:
    """Return *value* in a form that is safe to display: URLs without logins, only the number of secrets."""
    if name.endswith("_FILE"):
        return f"read from {value}"
    if name in URLS:
        return redact_url(value)
    if name in URL_LISTS:
        return redact_urls(value)
    if name in SECRETS:
        count = sum(1 for part in value.split(",") if part.strip())
        return f"set, {count} value{'s' if count != 1 else ''}"
    return value


def redact_url(url: str) -> str:
    """Return the scheme, host and path of *url*, or HIDDEN.

    User, password, query and fragment are omitted. The URL might be malformed: a password that is not
    percent-encoded can contain any character, so everything before the last `@` is treated as a login.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum() or _AMBIGUOUS.search(url):
        return HIDDEN
    return f"{scheme}://{re.split('[?#]', rest.rpartition('@')[2])[0]}"


def redact_urls(text: str) -> str:
    """Redact each URL in a comma-separated list. Return HIDDEN if a comma might belong to a password."""
    urls = [part.strip() for part in text.split(",") if part.strip()]
    has_login = {"@" in url for url in urls}
    redacted = [redact_url(url) for url in urls]
    return ", ".join(redacted) if HIDDEN not in redacted and len(has_login) == 1 else HIDDEN


def explain_settings() -> list[dict[str, str]]:
    """Return every setting with its displayable value and explanation, in the order of the example file."""
    environment, variables, in_file = Environment(), variables_now(), file_variables()
    settings, section = [], ""
    for heading, comment, name, value in _EXAMPLE.findall(EXAMPLE.read_text(encoding="utf-8")):
        section = heading or section
        if not name:
            continue
        text = comment.replace("# ", "").replace("\n", " ").strip()
        source = "settings file" if in_file.get(name, "").strip() else find_source(name, variables)
        if source != "default":
            value = show_value(name, environment.string(name))  # noqa: PLW2901
        elif stated := _DEFAULT.search(text):
            value = stated[1] or "none"  # noqa: PLW2901
        applied_by = _APPLIED_BY.get(name, RELOAD if section == "The edge" else RESTART)
        facts = {"value": value, "source": source, "text": text, "applied_by": applied_by}
        settings.append({"name": name, **facts})
    return settings


def find_source(name: str, variables: Mapping[str, str]) -> str:
    """Return where the value of a setting comes from: environment, file, credential or default."""
    if name in variables:
        return "environment" if variables[name].strip() else "default"
    if path := variables.get(f"{name}_FILE"):
        return f"file {path}"
    directory = variables.get("CREDENTIALS_DIRECTORY")
    return "credential" if directory and (Path(directory) / name).exists() else "default"
