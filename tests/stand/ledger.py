"""Record the events that were answered 200: the service must account for them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 by which a body is found again in tables, queues and files."""
    return hashlib.sha256(body).digest()


class Ledger:
    """The digests of all bodies that were answered 200; a body answered twice is one event.

    Those that a destination refused for good are in `refused`: they take effect and are dead letters as well.
    """

    def __init__(self) -> None:
        self._answered: set[bytes] = set()
        self._excused: set[bytes] = set()
        self.doomed: set[bytes] = set()
        self.refused: set[bytes] = set()

    def note_answered(self, bodies: Iterable[bytes]) -> None:
        """Record that each of these was answered 200."""
        self._answered.update(map(digest_of, bodies))

    def expect_dead_letter(self, body: bytes) -> None:
        """Record that this body belongs among the dead letters, and only there."""
        self.doomed.add(digest_of(body))

    def excuse_all(self, bodies: Iterable[bytes]) -> None:
        """Record that the test itself destroys these."""
        self._excused.update(map(digest_of, bodies))

    @property
    def owed(self) -> set[bytes]:
        """Return the events that the service must account for."""
        return self._answered - self._excused

    def lost(self, *found: AbstractSet[bytes]) -> set[bytes]:
        """Return the owed events that are in none of these places."""
        return self.owed.difference(*found)
