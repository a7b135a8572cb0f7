"""Decide a rotation's next step by what is found, so that one that was cut short goes on where it was."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from messaging.errors import OpenMessagingError

if TYPE_CHECKING:
    from collections.abc import Mapping


class RotationError(OpenMessagingError):
    """Nothing is refused as it stands; the text says what a person has to do before it can go on."""


class EdgeAwayError(RotationError):
    """Ask again: an edge that is being reloaded answers when its new processes are up."""


class Step(Enum):
    """What is to be done, in this order."""

    ADD = "add a new secret before the one in use, in the secrets' file"
    SPREAD = "have every edge take both"
    SWITCH = "have the platform sign with the new one"
    WATCH = "see traffic under the new one, and none under the old one any more"
    DROP = "take the old one out of the file"
    SETTLE = "have every edge take the new one alone"


STEPS: Final = tuple(Step)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is found before a step.

    Args:
        secrets: The ids of those in the file, newest first.
        signing: The id of the one that the platform signs with; None where it does not show it.
        edges: Of each edge process, by its address and process id: what each secret, by its id, has verified.
    """

    secrets: tuple[str, ...]
    signing: str | None
    edges: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    def are_live(self, secrets: tuple[str, ...]) -> bool:
        """Tell whether every process takes exactly these."""
        return bool(self.edges) and all(set(each) == set(secrets) for each in self.edges.values())


def next_step(facts: Facts) -> Step:
    """Return what is to be done next; with one secret everywhere a new rotation begins.

    Raises:
        RotationError: It cannot be told, or would have events refused.
    """
    if len(facts.secrets) > 2:
        raise RotationError("more than two secrets are in the file: take out those that are out of use")
    if facts.signing is not None and facts.signing not in facts.secrets:
        raise RotationError(
            "the platform signs with a secret that is not in the file: add it there, or have "
            "`omctl register` set one that is"
        )
    if not facts.edges:
        raise RotationError("no edge tells what it takes: name each by --edge")
    is_live = facts.are_live(facts.secrets)
    if len(facts.secrets) == 1:
        if not all(facts.secrets[0] in each for each in facts.edges.values()):
            raise RotationError("an edge does not take the file's secret: reload it first, or restart it")
        return Step.ADD if is_live else Step.SETTLE
    if not is_live:
        return Step.SPREAD
    return Step.WATCH if facts.signing == facts.secrets[0] else Step.SWITCH
