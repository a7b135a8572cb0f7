"""Decide a rotation's next step from the present state, so that an interrupted rotation can continue."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final

from messaging.environment import variables_now
from messaging.errors import ConfigurationError, OpenMessagingError
from omctl.installing.steps import replace

Signatures = Mapping[str, Mapping[str, int]]
"""For each edge process (address and process id): the number of events verified by each secret (its id)."""


class RotationError(OpenMessagingError):
    """The present state refuses no event. To continue, an operator has to do what the text says."""


class EdgeAwayError(RotationError):
    """Query again: an edge that is being reloaded responds when its new processes run."""


class RotationStep(Enum):
    """The steps of a rotation, in order."""

    ADD = "add a new secret before the one in use, in the secrets file"
    SPREAD = "make every edge accept both secrets"
    SWITCH = "make the platform sign with the new secret"
    WATCH = "wait for events with the new secret, and for none with the old one"
    DROP = "remove the old secret from the file"
    SETTLE = "make every edge accept only the new secret"


STEPS: Final = tuple(RotationStep)


@dataclass(frozen=True, slots=True)
class Facts:
    """The state before a step: ids of the file's secrets, newest first, and of the platform's, if shown."""

    secrets: tuple[str, ...]
    signing: str | None
    edges: Signatures = field(default_factory=dict)

    def are_live(self, secrets: tuple[str, ...]) -> bool:
        """Return whether every process accepts exactly these secrets."""
        return bool(self.edges) and all(set(counts) == set(secrets) for counts in self.edges.values())


def next_step(facts: Facts) -> RotationStep:
    """Return the next step. If there is only one secret everywhere, a new rotation begins."""
    if len(facts.secrets) > 2:
        raise RotationError("the file has more than two secrets: remove those that are no longer in use")
    if facts.signing is not None and facts.signing not in facts.secrets:
        raise RotationError(
            "the platform signs with a secret that is not in the file: add it there, or let "
            "`omctl register` set one that is"
        )
    if not facts.edges:
        raise RotationError("no edge reports its secrets: name each edge by --edge")
    is_live = facts.are_live(facts.secrets)
    if len(facts.secrets) == 1:
        if not all(facts.secrets[0] in counts for counts in facts.edges.values()):
            raise RotationError("an edge does not accept the file's secret: reload or restart it first")
        return RotationStep.ADD if is_live else RotationStep.SETTLE
    if not is_live:
        return RotationStep.SPREAD
    return RotationStep.WATCH if facts.signing == facts.secrets[0] else RotationStep.SWITCH


@dataclass(slots=True)
class Watch:
    """Decides when the old secret is no longer used; `new` and `old` are the ids of the secrets.

    `since` is when the last event with the old secret was seen, or the watch began; `quiet` is in seconds.
    """

    new: str
    old: str
    quiet: float
    since: float
    _before: dict[str, int] = field(default_factory=dict)

    def is_over(self, edges: Signatures, now: float) -> bool:
        """Return whether events have arrived with the new secret, and long enough none with the old one."""
        # A process that is new in *edges* started counting at zero.
        counts = {name: verified.get(self.old, 0) for name, verified in edges.items()}
        if any(count > self._before.get(name, 0) for name, count in counts.items()):
            self.since = now
        self._before = counts
        has_new = any(verified.get(self.new, 0) for verified in edges.values())
        return now - self.since >= self.quiet and has_new


def find_secrets_file(path: Path | None) -> Path:
    """Return *path*, or the path in OM_WEBHOOK_SECRETS_FILE; the file must contain a secret."""
    variables = variables_now()
    if path is None and variables.get("OM_WEBHOOK_SECRETS"):
        raise ConfigurationError(
            "OM_WEBHOOK_SECRETS holds the secrets themselves, which no reload changes: let "
            "OM_WEBHOOK_SECRETS_FILE name a file instead"
        )
    path = path or Path(variables.get("OM_WEBHOOK_SECRETS_FILE", ""))
    if not path.is_file():
        raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE or --file must name the secrets file")
    if not read_secrets(path):
        raise ConfigurationError("OM_WEBHOOK_SECRETS_FILE names a file without a secret")
    return path


def read_secrets(path: Path) -> tuple[str, ...]:
    """Return the secrets, newest first."""
    return tuple(part.strip() for part in path.read_text("utf-8").split(",") if part.strip())


def write_secrets(path: Path, *secrets: str) -> None:
    """Replace the secrets durably."""
    replace(path.resolve(), ",".join(secrets) + "\n")
