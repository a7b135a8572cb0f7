"""Set aside events that are too large for the broker: write each body to a file, and the reason beside it.

RabbitMQ closes the channel whenever such an event is published, and loses other events on that channel.
"""

import hashlib
import json
import os
from pathlib import Path
from typing import Any, Final

from messaging.envelope import decode_properties, envelope_of
from messaging.log import logger
from webhook_api.journal import Entry, sync_directory

SET_ASIDE: Final = ("oversized", "damaged")
"""Directories below the state directory whose files hold customers' data."""

DAY_SECONDS: Final = 86_400


class Oversized:
    """The directory of this host's oversized events."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._is_failing = False
        self.count = 0

    def keep(self, entry: Entry, size_limit: int) -> bool:
        """Write one event's body and the reason; blocks until the disk has flushed them.

        A second call after a crash writes the same files. Return whether the files are durable. If they are
        not, the event must stay in the journal for another attempt.
        """
        reason = _reason(entry, size_limit)
        name = hashlib.sha256(entry.properties + entry.body).hexdigest()[:32]
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            _write(self._directory / f"{name}.body", entry.body)
            _write(self._directory / f"{name}.json", json.dumps(reason, indent=2).encode() + b"\n")
            for directory in (self._directory, self._directory.parent):
                sync_directory(directory)
        except OSError as exc:
            if not self._is_failing:
                self._is_failing = True
                consequence = "the event stays in the journal"
                logger().error("oversized_not_kept", errno=exc.errno, consequence=consequence)
            return False
        self._is_failing = False
        self.count += 1
        consequence = "the event is kept in the directory `oversized`, it is not processed"
        logger().error("event_oversized", file=name, consequence=consequence, **reason)
        return True


def delete_expired(state_directory: Path, days: int, now: float) -> None:
    """Delete set-aside files that were last written more than *days* before *now*, in epoch seconds.

    Blocks only briefly, because such files are rare. A file that cannot be deleted is retried the next day.
    """
    deleted = 0
    for path in (path for name in SET_ASIDE for path in (state_directory / name).glob("*")):
        try:
            if path.stat().st_mtime < now - days * DAY_SECONDS:
                path.unlink()
                deleted += 1
        except FileNotFoundError:
            continue  # another process of this host deleted it
        except OSError as exc:
            logger().error("set_aside_file_stays", file=path.name, errno=exc.errno)
    if deleted:
        logger().info("set_aside_files_expired", files=deleted, days=days)


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
    """Write a file atomically, and flush it."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
