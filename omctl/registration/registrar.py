"""Look up, create and change registrations at the platform, and verify what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from messaging.errors import OpenMessagingError
from omctl.registration.difference import Difference, differences
from omctl.registration.wanted import SECRET
from workers.genesys import PlatformUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from omctl.registration.wanted import Wanted
    from workers.genesys import GenesysClient

PAGE_SIZE: Final = 100
CREATION_CHECKS: Final = 30
"""The platform makes an integration in its own time; a second apart."""


class RegistrationError(OpenMessagingError):
    """A person has to look: the text says at what. Running the command again does no harm."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What the platform has of one thing that is wanted.

    Args:
        wanted: What should be there.
        content: What is there, secrets and all; None where nothing is.
    """

    wanted: Wanted
    content: dict[str, Any] | None = field(repr=False)

    @property
    def registered_id(self) -> str | None:
        """Its id at the platform."""
        return None if self.content is None else str(self.content["id"])

    @property
    def secret(self) -> str | None:
        """The secret that it signs with; None where the platform does not show it."""
        return None if self.content is None else self.content.get(SECRET)

    @property
    def differences(self) -> list[Difference]:
        """What is not as configured; everything, where nothing is there."""
        return differences(self.wanted.body_against(self.content), self.content)


class Registrar:
    """Brings the platform to what is wanted.

    Args:
        client: The way there.
        sleep: Waits for so many seconds.
    """

    def __init__(self, client: GenesysClient, sleep: Callable[[float], None] = time.sleep) -> None:
        self._client = client
        self._sleep = sleep

    def find(self, wanted: Wanted) -> Registered:
        """Return what there is, by id where one is configured, else by name.

        Raises:
            RegistrationError: More than one has the name.
            PlatformUnavailableError, PlatformRefusedError: As with GenesysClient.
        """
        found = wanted.registered_id or self._id_of(wanted)
        return Registered(wanted, None if found is None else self._read(wanted, found))

    def apply(self, registered: Registered) -> Registered:
        """Create or change it where it differs, and return it as the platform then has it.

        Raises:
            RegistrationError: It is not there, not enabled or not as configured afterwards.
            PlatformUnavailableError, PlatformRefusedError: As with GenesysClient.
        """
        wanted = registered.wanted
        registered_id = registered.registered_id
        if registered_id is None:
            registered_id = self._create(wanted)
        elif registered.differences:
            change = self._client.put if wanted.kind == "webhook" else self._client.patch
            change(_path(wanted, registered_id), wanted.body_against(registered.content))
        return self._verified(wanted, registered_id)

    def sign_with(self, wanted: Wanted, secret: str) -> None:
        """Have an integration sign with another secret, and change nothing else.

        Raises:
            RegistrationError: It is not there, or shows another secret afterwards.
            PlatformUnavailableError: It may have been changed or not.
            PlatformRefusedError: It has not.
        """
        found = self.find(wanted)
        if found.content is None:
            raise RegistrationError(f"the {wanted.kind} {wanted.name!r} is not registered")
        path = _path(wanted, str(found.content["id"]))
        self._client.patch(path, {"name": found.content["name"], SECRET: secret})
        if self._client.get(path).get(SECRET) not in {None, secret}:
            raise RegistrationError(f"the {wanted.kind} {wanted.name!r} did not take the new secret")

    def _id_of(self, wanted: Wanted) -> str | None:
        found: list[str] = []
        page = pages = 1
        while page <= pages:
            listing = self._client.get(wanted.path, pageSize=str(PAGE_SIZE), pageNumber=str(page))
            found += [
                str(each["id"]) for each in listing.get("entities") or () if each.get("name") == wanted.name
            ]
            pages = int(listing.get("pageCount") or 1)
            page += 1
        if len(found) > 1:
            raise RegistrationError(
                f"the {wanted.kind} {wanted.name!r} is registered more than once ({', '.join(found)}): "
                "remove what is too many, or name the right one by id in the file of OM_REGISTRATION"
            )
        return found[0] if found else None

    def _create(self, wanted: Wanted) -> str:
        """Create it; a POST without an answer is never repeated, but looked for."""
        try:
            created = self._client.post(wanted.path, wanted.body_against(None))
        except PlatformUnavailableError as error:
            found = self._id_of(wanted)
            if found is None:
                raise RegistrationError(
                    f"whether the {wanted.kind} {wanted.name!r} was created is not known ({error}): none "
                    "is there now; run the command again, it looks first"
                ) from None
            return found
        if not created.get("id"):
            raise RegistrationError(f"the platform gave the {wanted.kind} {wanted.name!r} no id")
        return str(created["id"])

    def _verified(self, wanted: Wanted, registered_id: str) -> Registered:
        content = self._read(wanted, registered_id)
        for _ in range(CREATION_CHECKS):
            if content.get("createStatus") != "Initiated":
                break
            self._sleep(1.0)
            content = self._read(wanted, registered_id)
        registered = Registered(wanted, content)
        if trouble := trouble_of(registered):
            raise RegistrationError(f"the {wanted.kind} {wanted.name!r} ({registered_id}) {trouble}")
        return registered

    def _read(self, wanted: Wanted, registered_id: str) -> dict[str, Any]:
        content = self._client.get(_path(wanted, registered_id))
        if content.get("id") != registered_id:
            raise RegistrationError(f"the platform answered with another {wanted.kind} than {registered_id}")
        return content


def trouble_of(registered: Registered) -> str | None:
    """Return what is wrong with something registered, or None: not made, not enabled, not as configured."""
    content = registered.content or {}
    if (status := content.get("createStatus", "Completed")) != "Completed":
        return f"could not be made: its createStatus is {status}"
    if content.get("status", "Active") != "Active":
        return f"is not active: its status is {content['status']}"
    if left := registered.differences:
        return f"still differs in {', '.join(each.field for each in left)}"
    return None


def _path(wanted: Wanted, registered_id: str) -> str:
    return f"{wanted.path}/{quote(registered_id, safe='')}"
