"""Notice that the oldest segment on its way is never proven, though the connection stands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from webhook_api.journal import Segment

STAGNATION_SECONDS: Final = 120.0
"""A proof takes seconds. RabbitMQ may also forget a publish without ever refusing its confirm, and all later
segments would wait behind it."""


class Stagnation:
    """The segment that has been the oldest on its way, and since when."""

    def __init__(self) -> None:
        self._oldest: Segment | None = None
        self._since = 0.0

    def has_lasted(self, unproven: Sequence[Segment], now: float) -> bool:
        """Tell whether the oldest of *unproven* has been that for too long; call while the broker reads."""
        oldest = unproven[0] if unproven else None
        if oldest is not self._oldest:
            self._oldest, self._since = oldest, now
        return oldest is not None and now - self._since > STAGNATION_SECONDS

    def forget(self) -> None:
        """Start over: the broker has not read until now."""
        self._oldest = None
