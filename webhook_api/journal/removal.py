"""Let go of segments that are proven; what the disk does not let go of stays, and is tried again."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from messaging.log import logger

if TYPE_CHECKING:
    from pathlib import Path

    from webhook_api.journal.directory import Segment
    from webhook_api.journal.limit import HostLimit


class Removal:
    """The segments that are to go.

    Args:
        root: The journal directory of the host.
        limit: Gets their room back when they are gone.
    """

    def __init__(self, root: Path, limit: HostLimit) -> None:
        self._aside = root.parent / "damaged"
        self._limit = limit
        self._staying: list[Segment] = []

    def remove(self, segment: Segment) -> None:
        """Unlink a segment; keep a damaged one aside for a person to look at."""
        try:
            self._remove(segment)
        except OSError as exc:
            self._staying.append(segment)
            logger().error("journal_segment_stays", segment=segment.path.name, errno=exc.errno)
        else:
            self._limit.give_back(segment.size)

    def try_again(self) -> None:
        """Remove what has stayed; call every few seconds."""
        staying, self._staying = self._staying, []
        for segment in staying:
            self.remove(segment)

    def _remove(self, segment: Segment) -> None:
        with suppress(FileNotFoundError):
            if not segment.is_damaged:
                segment.path.unlink()
                return
            self._aside.mkdir(mode=0o700, exist_ok=True)
            segment.path.rename(self._aside / f"{segment.path.parent.name}-{segment.path.name}")
