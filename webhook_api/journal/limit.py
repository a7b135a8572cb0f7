"""Keep all journals of this host together within one limit, without asking anybody in a request.

A process reserves in advance, in steps: it writes what it wants into its row of the host's table, then reads
what all have, and takes it back if that is too much. Of two that do so at once both see the other, so that
the limit holds without a lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from webhook_api.host_table import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from webhook_api.host_table import HostTable

STEP_BYTES: Final = 64 * 1024
"""Reserved ahead: some fifty events share the two system calls."""


class HostLimit:
    """What this process holds, and may still take, of the host's limit.

    Args:
        table: Shared with the other processes of this host.
        max_bytes: What all of them together may hold.
        processes: How many they are; for a share of its own where the table cannot be used.
    """

    def __init__(self, table: HostTable, *, max_bytes: int, processes: int = 1) -> None:
        self.table = table
        self._max_bytes = max_bytes
        self._processes = processes
        # Not more than a sixteenth of the limit lies reserved and unused.
        self._step = min(STEP_BYTES, max_bytes // (16 * processes))
        self._reserved = 0
        self._refused = 0
        self.held = 0

    def join(self, name: str, directories: Callable[[], Mapping[str, int]]) -> None:
        """Share the limit from now on; see `HostTable.join`."""
        self.table.join(name, directories)
        self._write(self._reserved)

    def take(self, size: int) -> bool:
        """Take room for *size* bytes, or return False where there is none."""
        if self.held + size > self._reserved and not self._reserve(self.held + size):
            self._refused = size
            return False
        self.held += size
        return True

    def take_anyway(self, size: int) -> None:
        """Take over bytes that are on the disk already, within the limit or not."""
        self.held += size
        self._write(max(self._reserved, self.held))

    def give_back(self, size: int) -> None:
        """Let go of bytes that are on the disk no more."""
        self.held -= size
        if self._reserved > self.held + self._step:
            self._write(self.held)

    @property
    def is_reached(self) -> bool:
        """Whether the last event that found no room would still find none, or nothing at all would."""
        if self._refused and self._fits(self.held + self._refused):
            self._refused = 0
        return not self._fits(self.held + max(self._refused, 1))

    def _reserve(self, needed: int) -> bool:
        before = self._reserved
        for wanted in (needed + self._step, needed):
            self._write(wanted)
            if self._fits(wanted):
                return True
        self._write(before)
        return False

    def _fits(self, own: int) -> bool:
        if not self.table.is_shared:
            return own <= self._max_bytes // self._processes
        return own + self.table.others(Column.HELD) <= self._max_bytes

    def _write(self, reserved: int) -> None:
        self._reserved = reserved
        self.table.write(Column.HELD, reserved)
