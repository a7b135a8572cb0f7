"""Remember what was answered 200: the account that the service is held to."""

from __future__ import annotations

import hashlib
import threading


def digest_of(body: bytes) -> bytes:
    """Return the SHA-256 by which a body is found again in the tables."""
    return hashlib.sha256(body).digest()


class Ledger:
    """The digests of all bodies that were answered 200, by any of the driver's threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answered: set[bytes] = set()
        self._meant_to_die: set[bytes] = set()
        self._excused: set[bytes] = set()

    def note_answered(self, body: bytes) -> None:
        """Note one 200; a body answered twice is still one event."""
        with self._lock:
            self._answered.add(digest_of(body))

    def expect_dead_letter(self, body: bytes) -> None:
        """Note that this body belongs among the dead letters, and only there."""
        with self._lock:
            self._meant_to_die.add(digest_of(body))

    def excuse(self, body: bytes) -> None:
        """Note that this event's only copy was destroyed by the fault itself, on the disk."""
        with self._lock:
            self._excused.add(digest_of(body))

    @property
    def owed(self) -> frozenset[bytes]:
        """What the service must account for."""
        with self._lock:
            return frozenset(self._answered - self._excused)

    @property
    def doomed(self) -> frozenset[bytes]:
        """What was sent to be dead-lettered."""
        with self._lock:
            return frozenset(self._meant_to_die)
