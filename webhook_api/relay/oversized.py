"""Set aside the events that the broker will never take because they are too large for it.

RabbitMQ closes the channel for such an event, and for its neighbours with it, as often as it is published.
So its body goes into a file of its own for a person to look at, with the reason beside it.
"""

from __future__ import annotations

import hashlib
import json
import os
from typing import TYPE_CHECKING, Any

from messaging.envelope import decode_properties, envelope_of
from messaging.log import logger

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_api.journal import Entry


class Oversized:
    """The directory of this host's oversized events.

    Args:
        directory: Made when the first one comes.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._is_failing = False
        self.count = 0

    def keep(self, entry: Entry, size_limit: int) -> bool:
        """Write one event's body and the reason; blocks for the disk's flush.

        Doing it again, after a crash, writes the same files.

        Args:
            entry: As it stands in the journal.
            size_limit: The largest body that the broker takes, in bytes.

        Returns:
            Whether it is durable. If not, the event must stay in the journal, to be tried again.
        """
        reason = _reason(entry, size_limit)
        name = hashlib.sha256(entry.properties + entry.body).hexdigest()[:32]
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            _write(self._directory / f"{name}.body", entry.body)
            _write(self._directory / f"{name}.json", json.dumps(reason, indent=2).encode() + b"\n")
            _sync(self._directory)
        except OSError as exc:
            self._tell_failure(exc)
            return False
        self._is_failing = False
        self.count += 1
        logger().error(
            "event_oversized",
            file=name,
            consequence="the event is kept in the directory `oversized`, it is not processed",
            **reason,
        )
        return True

    def _tell_failure(self, exc: OSError) -> None:
        if not self._is_failing:
            self._is_failing = True
            logger().error(
                "oversized_not_kept", errno=exc.errno, consequence="the event stays in the journal"
            )


def _reason(entry: Entry, size_limit: int) -> dict[str, Any]:
    envelope = envelope_of(decode_properties(entry.properties), b"")
    return {
        "reason": "the body is larger than the broker's max_message_size",
        "body_bytes": len(entry.body),
        "max_message_size": size_limit,
        "message_id": envelope.message_id,
        "request_id": envelope.request_id,
        "source": envelope.source,
        "received_at_us": envelope.received_at_us,
    }


def _write(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, and have it on the disk."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)


def _sync(directory: Path) -> None:
    """Have the names of new files on the disk, and the directory's own."""
    for path in (directory, directory.parent):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
