"""Take over the journals that dead processes of this host left behind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.log import logger
from webhook_api.health import STATUS_NAME

if TYPE_CHECKING:
    from webhook_api.handover.republisher import Republisher
    from webhook_api.journal.directory import Adopted
    from webhook_api.journal.journal import Journal

ADOPT_SECONDS: Final = 5.0
"""Between looks: a process's death costs its events no more delay than this."""


class Adoption:
    """The directories taken over and not emptied yet.

    Args:
        journal: Where this host's journals lie.
        republisher: Publishes what is found in them.
    """

    def __init__(self, journal: Journal, republisher: Republisher) -> None:
        self._journal = journal
        self._republisher = republisher
        self._held: list[Adopted] = []
        self._next_look = 0.0
        self.directories = 0

    def look(self, now: float) -> None:
        """Adopt what has no owner any more, if it is time to look again.

        Args:
            now: Monotonic seconds.
        """
        if now < self._next_look:
            return
        self._next_look = now + ADOPT_SECONDS
        for adopted in self._journal.adopt():
            self.directories += 1
            self._held.append(adopted)
            # Its owner's last status would count these events a second time.
            (adopted.directory / STATUS_NAME).unlink(missing_ok=True)
            self._republisher.extend(adopted.segments)
            logger().warning(
                "journal_adopted",
                directory=adopted.directory.name,
                segments=len(adopted.segments),
                bytes=sum(segment.size for segment in adopted.segments),
            )

    def release(self) -> None:
        """Remove the directories all of whose segments have been proven."""
        self._held = [adopted for adopted in self._held if not adopted.release_if_empty()]
