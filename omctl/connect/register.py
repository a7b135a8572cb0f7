"""omctl register: find, create and change registrations on the platform, and verify the result."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

import click

from messaging.environment import Environment
from messaging.errors import OpenMessagingError
from omctl.connect.registration import SECRET, Configured, find_differences, read_configured
from omctl.connections import open_platform
from omctl.interface import Command, change_options, print_table, show_json
from workers.genesys import GenesysClient, PlatformUnavailableError

PAGE_SIZE: Final = 100
MAX_CREATION_CHECKS: Final = 31
"""How many times to check, once a second, whether the platform has finished creating an integration."""


class RegistrationError(OpenMessagingError):
    """An operator has to fix the problem that the message describes, and can then safely try again."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A configured registration, and its content on the platform, secrets included (None: not registered)."""

    configured: Configured
    content: dict[str, Any] | None = field(repr=False)

    @property
    def registration_id(self) -> str | None:
        """The registration's id on the platform, if it is registered."""
        return None if self.content is None else str(self.content["id"])

    @property
    def differences(self) -> list[dict[str, Any]]:
        """The fields whose values differ from the configuration; every field if nothing is registered."""
        return find_differences(self.configured.render(self.content), self.content)


def find_registered(client: GenesysClient, configured: Configured) -> Registered:
    """Look up a registration on the platform by its configured id or, if it has none, by its unique name."""
    found = configured.registration_id or _find_id(client, configured)
    return Registered(configured, None if found is None else _read(client, configured, found))


def apply(client: GenesysClient, registered: Registered) -> Registered:
    """Create the registration if it is missing, change it if it differs, then verify and return it."""
    configured, registration_id = registered.configured, registered.registration_id
    if registration_id is None:
        registration_id = _create(client, configured)
    elif registered.differences:
        method = "PUT" if configured.kind == "webhook" else "PATCH"
        client.send(method, configured.locate(registration_id), configured.render(registered.content))
    return _verify(client, configured, registration_id)


def set_secret(client: GenesysClient, configured: Configured, secret: str) -> None:
    """Make the platform sign an integration's webhooks with *secret*, and change nothing else.

    After a PlatformUnavailableError, the secret may or may not have been changed.
    """
    found = find_registered(client, configured)
    if found.content is None:
        raise RegistrationError(f"{configured} is not registered")
    path = configured.locate(str(found.content["id"]))
    client.send("PATCH", path, {"name": found.content["name"], SECRET: secret})
    if client.get(path).get(SECRET) not in {None, secret}:
        raise RegistrationError(f"{configured} did not accept the new secret")


def _find_id(client: GenesysClient, configured: Configured) -> str | None:
    found: list[str] = []
    page = pages = 1
    while page <= pages:
        listing = client.get(configured.path, pageSize=str(PAGE_SIZE), pageNumber=str(page))
        entities = listing.get("entities") or ()
        found += [str(entity["id"]) for entity in entities if entity.get("name") == configured.name]
        pages = int(listing.get("pageCount") or 1)
        page += 1
    if len(found) > 1:
        raise RegistrationError(
            f"{configured} is registered several times: {', '.join(found)}. "
            "Remove the others, or set the right id in the file of OM_REGISTRATION"
        )
    return found[0] if found else None


def _create(client: GenesysClient, configured: Configured) -> str:
    """Create a registration and return its id. If the POST gets no answer, look the registration up."""
    try:
        created = client.send("POST", configured.path, configured.render(None))
    except PlatformUnavailableError as error:
        if found := _find_id(client, configured):
            return found
        raise RegistrationError(
            f"it is unknown whether {configured} was created ({error}); "
            "it does not exist now: run the command again, which checks first"
        ) from None
    if not created.get("id"):
        raise RegistrationError(f"the platform returned no id for {configured}")
    return str(created["id"])


def _verify(client: GenesysClient, configured: Configured, registration_id: str) -> Registered:
    for _ in range(MAX_CREATION_CHECKS):
        content = _read(client, configured, registration_id)
        if content.get("createStatus") != "Initiated":
            break
        time.sleep(1.0)
    registered = Registered(configured, content)
    if (status := content.get("createStatus", "Completed")) != "Completed":
        problem = f"could not be created: its createStatus is {status}"
    elif (status := content.get("status", "Active")) != "Active":
        problem = f"is not active: its status is {status}"
    elif left := registered.differences:
        problem = f"still differs in {', '.join(difference['field'] for difference in left)}"
    else:
        return registered
    raise RegistrationError(f"{configured} ({registration_id}) {problem}")


def _read(client: GenesysClient, configured: Configured, registration_id: str) -> dict[str, Any]:
    content = client.get(configured.locate(registration_id))
    if content.get("id") != registration_id:
        raise RegistrationError(f"the platform answered with another {configured.kind}")
    return content


@click.command(cls=Command)
@click.option("--check", "is_check", is_flag=True, help="Change nothing; exit 1 if anything differs.")
@change_options
def register(*, is_check: bool, dry_run: bool) -> None:
    """Register the service with the platform as OM_REGISTRATION describes, and verify the result.

    Existing registrations are found by id or name, so you can safely repeat the command, even if the
    platform's answer was lost. Headers come from OM_REQUIRED_HEADERS. If the integration is new or has a
    secret that the edge does not accept, it gets the newest secret in OM_WEBHOOK_SECRETS. To change its
    secret without refusing any event, use `omctl rotate-secret`. Secrets and header values are never shown.

    Examples:
      omctl register --dry-run
      omctl register
      omctl register --check || echo "the registration differs from OM_REGISTRATION"
    """
    environment = Environment()
    configured = read_configured(environment)
    for warning in (warning for one in configured for warning in one.warnings):
        click.echo(f"Warning: {warning}", err=True)
    is_only_looking = is_check or dry_run
    with open_platform(environment) as client:
        found = [find_registered(client, one) for one in configured]
        done = found if is_only_looking else [apply(client, registered) for registered in found]
    rows = [
        {
            "kind": before.configured.kind,
            "name": before.configured.name,
            "id": after.registration_id,
            "existed": before.content is not None,
            "differences": before.differences,
            "left": after.differences,
        }
        for before, after in zip(found, done, strict=True)
    ]
    if not show_json({"registrations": rows, "done": not is_only_looking}):
        _print(rows, is_only_looking=is_only_looking)
    if is_check and any(row["differences"] for row in rows):
        raise SystemExit(1)


def _print(rows: list[dict[str, Any]], *, is_only_looking: bool) -> None:
    differences = [(row["kind"], difference) for row in rows for difference in row["differences"]]
    cells = [(kind, *(value or "-" for value in difference.values())) for kind, difference in differences]
    if cells:
        print_table(("", "field", "registered", "configured"), cells)
    for row in rows:
        outcome = "is as configured"
        if not row["existed"]:
            outcome = "is not registered" if is_only_looking else "was created and verified"
        elif row["differences"]:
            outcome = "differs" if is_only_looking else "was changed and verified"
        suffix = "" if row["id"] is None else f": {row['id']}"
        click.echo(f"{row['kind']} {row['name']!r} {outcome}{suffix}")
