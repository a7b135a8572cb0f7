"""Delete the files that the edge set aside and that have been kept long enough: they hold customers' data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from messaging.log import logger

if TYPE_CHECKING:
    from pathlib import Path

DIRECTORIES: Final = ("oversized", "damaged")
DAY_SECONDS: Final = 86_400


def delete_expired(state_directory: Path, days: int, now: float) -> int:
    """Delete set-aside files that were last written more than *days* ago.

    Blocks for a moment: such files are rare. A file that cannot be deleted is tried again the next time.

    Args:
        state_directory: Of this host's edge.
        days: OM_PAYLOAD_RETENTION_DAYS.
        now: Seconds since the epoch.

    Returns:
        How many files were deleted.
    """
    deleted = 0
    for path in (path for name in DIRECTORIES for path in (state_directory / name).glob("*")):
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
    return deleted
