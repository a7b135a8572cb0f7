"""Set aside events that are too large for the broker: write the body and the reason to two files.

If such an event is published, RabbitMQ closes the channel and loses other events on that channel.
"""

import hashlib
import json
from pathlib import Path
from typing import Any, Final

from messaging.envelope import decode_properties, envelope_of
from messaging.log import logger
from webhook_api.journal import Entry, replace_file, sync_directory

SET_ASIDE: Final = ("oversized", "damaged")
"""Directories in the state directory for files that were set aside; the files contain customers' data."""

DAY_SECONDS: Final = 86_400


class Oversized:
    """Writes oversized events into a directory of this host, and counts them."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._is_failing = False
        self.count = 0

    def keep(self, entry: Entry, size_limit: int) -> bool:
        """Write an event's body and the reason to files; blocks until the disk has flushed the files.

        A second call after a crash writes the same files. Returns False if the files are not durable; the
        event's segment must then stay in the journal for another attempt.
        """
        reason = _reason(entry, size_limit)
        name = hashlib.sha256(entry.properties + entry.body).hexdigest()[:32]
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
            replace_file(self._directory / f"{name}.body", entry.body, fsync=True)
            record = json.dumps(reason, indent=2).encode() + b"\n"
            replace_file(self._directory / f"{name}.json", record, fsync=True)
            for directory in (self._directory, self._directory.parent):
                sync_directory(directory)
        except OSError as exc:
            if not self._is_failing:
                self._is_failing = True
                consequence = "its journal file is kept and published again, until the event can be set aside"
                logger().error("oversized_not_kept", errno=exc.errno, consequence=consequence)
            return False
        self._is_failing = False
        self.count += 1
        consequence = "the event is kept in the directory `oversized` and is not processed"
        logger().error("event_oversized", file=name, consequence=consequence, **reason)
        return True


def delete_expired(state_directory: Path, days: int, now: float) -> None:
    """Delete files that were set aside more than *days* before *now*, which is in seconds since the epoch.

    This blocks only briefly, because such files are rare. A file that cannot be deleted is tried again later.
    """
    deleted = 0
    for path in (path for name in SET_ASIDE for path in (state_directory / name).glob("*")):
        try:
            if path.stat().st_mtime < now - days * DAY_SECONDS:
                path.unlink()
                deleted += 1
        except FileNotFoundError:
            continue  # another process of this host has deleted the file
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
