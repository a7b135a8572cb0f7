"""Determine a secret rotation's next step from the current state, so that any run can continue it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from messaging.environment import variables_now
from messaging.errors import ConfigurationError, OpenMessagingError
from omctl.installing.steps import replace

Signatures = Mapping[str, Mapping[str, int]]
"""Maps each edge process (URL and process id) to the number of events verified with each secret (its id)."""


class RotationError(OpenMessagingError):
    """The rotation stopped, but no event is refused. An operator has to follow the message's advice."""


class RotationStep(Enum):
    """The steps of a secret's rotation, in the order in which they are carried out."""

    ADD = "add a new secret before the one in use, in the secrets file"
    SPREAD = "make every edge accept both secrets"
    SWITCH = "make the platform sign with the new secret"
    WATCH = "wait for events with the new secret, and for none with the old one"
    DROP = "remove the old secret from the file"
    SETTLE = "make every edge accept only the new secret"


def are_live(secrets: tuple[str, ...], edges: Signatures) -> bool:
    """Return whether *edges* contains any process, and every process in it accepts exactly *secrets*."""
    return bool(edges) and all(set(counts) == set(secrets) for counts in edges.values())


def next_step(secrets: tuple[str, ...], signing: str | None, edges: Signatures) -> RotationStep:
    """Return the rotation's next step. If only one secret is in use everywhere, a new rotation begins.

    *secrets*: the ids of the file's secrets, newest first. *signing*: the id of the platform's, if known.
    """
    if len(secrets) > 2:
        raise RotationError("the file has more than two secrets: remove those that are no longer in use")
    if signing is not None and signing not in secrets:
        raise RotationError(
            "the platform signs with a secret that is not in the file: add it there, or let "
            "`omctl register` set one that is"
        )
    if not edges:
        raise RotationError("no edge reports its secrets: name each edge with --edge")
    if len(secrets) == 1:
        if not all(secrets[0] in counts for counts in edges.values()):
            raise RotationError("an edge does not accept the file's secret: reload or restart it first")
        return RotationStep.ADD if are_live(secrets, edges) else RotationStep.SETTLE
    if not are_live(secrets, edges):
        return RotationStep.SPREAD
    return RotationStep.WATCH if signing == secrets[0] else RotationStep.SWITCH


@dataclass(slots=True)
class Watch:
    """Detects when the old secret is no longer used; `new` and `old` are the ids of the secrets.

    `since` is when the watch began or, if the old secret was used after that, when it was last used.
    """

    new: str
    old: str
    quiet: float
    since: float
    _before: dict[str, int] = field(default_factory=dict)

    def is_over(self, edges: Signatures, now: float) -> bool:
        """Return whether the new secret has been used, and the old one has not for `quiet` seconds."""
        # The counts of a process that was not listed before began at zero.
        counts = {name: verified.get(self.old, 0) for name, verified in edges.items()}
        if any(count > self._before.get(name, 0) for name, count in counts.items()):
            self.since = now
        self._before = counts
        has_new = any(verified.get(self.new, 0) for verified in edges.values())
        return now - self.since >= self.quiet and has_new


def find_secrets_file(path: Path | None) -> Path:
    """Return *path* or, if it is None, OM_WEBHOOK_SECRETS_FILE. The file must exist and contain a secret."""
    variables = variables_now()
    if path is None and variables.get("OM_WEBHOOK_SECRETS"):
        raise ConfigurationError(
            "OM_WEBHOOK_SECRETS holds the secrets themselves, which a reload cannot change: set "
            "OM_WEBHOOK_SECRETS_FILE to a file instead"
        )
    path = path or Path(variables.get("OM_WEBHOOK_SECRETS_FILE", ""))
    if not path.is_file():
        raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE or --file must name the secrets file")
    if not read_secrets(path):
        raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE names a file without a secret")
    return path


def read_secrets(path: Path) -> tuple[str, ...]:
    """Return the secrets in a secrets file, newest first."""
    return tuple(part.strip() for part in path.read_text("utf-8").split(",") if part.strip())


def write_secrets(path: Path, *secrets: str) -> None:
    """Durably replace the content of a secrets file with *secrets*, newest first."""
    replace(path.resolve(), ",".join(secrets) + "\n")
