"""Record the events that were answered with 200: the service must account for each of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet


def digest_of(body: bytes) -> bytes:
    """Return a body's SHA-256, which the tests use to find the body in tables, queues and files."""
    return hashlib.sha256(body).digest()


class Ledger:
    """The digests of all bodies that were answered with 200; a body answered twice counts as one event.

    `refused` contains the events that a destination refused permanently. They took effect, and are also dead
    letters.
    """

    def __init__(self) -> None:
        self._answered: set[bytes] = set()
        self._excused: set[bytes] = set()
        self.doomed: set[bytes] = set()
        self.refused: set[bytes] = set()

    def note_answered(self, bodies: Iterable[bytes]) -> None:
        """Record that each of these bodies was answered with 200."""
        self._answered.update(map(digest_of, bodies))

    def expect_dead_letter(self, body: bytes) -> None:
        """Record that this body must become a dead letter and must not take effect."""
        self.doomed.add(digest_of(body))

    def excuse_all(self, bodies: Iterable[bytes]) -> None:
        """Record that the test itself destroys these bodies."""
        self._excused.update(map(digest_of, bodies))

    @property
    def owed(self) -> set[bytes]:
        """Return the events that the service must account for."""
        return self._answered - self._excused

    def lost(self, *found: AbstractSet[bytes]) -> set[bytes]:
        """Return the owed events that are in none of these sets."""
        return self.owed.difference(*found)
