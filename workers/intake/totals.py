"""Count what has become of all batches since this worker began."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from workers.intake.outcome import Results


class Totals:
    """Counts that only rise; one thread adds, any thread reads."""

    def __init__(self) -> None:
        self._counts: dict[str, float] = defaultdict(int)

    def add(self, deliveries: int, results: Results, seconds: float) -> None:
        """Count one batch."""
        counts = self._counts
        counts["batches"] += 1
        counts["batch_seconds"] += seconds
        counts["deliveries"] += deliveries
        counts["processed"] += results.processed
        counts["skipped"] += results.skipped
        counts["unstored"] += results.unstored
        counts["duplicates"] += results.duplicates
        counts["conflicts"] += results.conflicts
        counts["dead_lettered"] += len(results.recorded)
        counts["put_off"] += len(results.put_off)

    def figures(self) -> dict[str, float]:
        """Return the counts by name."""
        return dict(self._counts)
