"""Sample where a Python process spends CPU time, from inside it.

The kernel's profiling timer counts the CPU time of the process and nothing else: time spent asleep, or
runnable without a core on a busy machine, is in no sample, as it is in those of a sampler from outside.
"""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

INTERVAL_SECONDS: Final = 0.004
"""CPU time between samples: the kernel's tick, below which the timer does not go."""


class CpuSampler:
    """Counts of stacks; make it in the main thread of the process to sample.

    Each sample goes to the thread that used most CPU since the last. A system call counts for the line that
    made it: the signal is handled when it returns.
    """

    def __init__(self) -> None:
        self._stacks: Counter[str] = Counter()
        self._used: dict[int, float] = {}

    def start(self) -> None:
        """Sample from now on."""
        signal.signal(signal.SIGPROF, self._on_signal)
        signal.setitimer(signal.ITIMER_PROF, INTERVAL_SECONDS, INTERVAL_SECONDS)

    def write(self, path: Path) -> None:
        """Stop, and write a line per stack: its frames from the outermost in, and its samples."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        path.write_text("".join(f"{stack} {samples}\n" for stack, samples in self._stacks.items()))

    def _on_signal(self, _number: int, interrupted: FrameType | None) -> None:
        busiest = self._busiest_thread()
        frame = interrupted if busiest == threading.get_ident() else sys._current_frames().get(busiest)
        frames = []
        while frame is not None:
            frames.append(f"{frame.f_code.co_name} ({_place(frame.f_code.co_filename)})")
            frame = frame.f_back
        self._stacks[";".join(reversed(frames))] += 1

    def _busiest_thread(self) -> int:
        identifiers = [thread.ident for thread in threading.enumerate() if thread.ident is not None]
        used = {each: time.clock_gettime(time.pthread_getcpuclockid(each)) for each in identifiers}
        before, self._used = self._used, used
        return max(used, key=lambda each: used[each] - before.get(each, 0.0))


def _place(filename: str) -> str:
    """Return package and module of a source file."""
    path = Path(filename)
    nested = path.parent.name in {"adapters", "utils", "dialects", "handlers"}
    return "/".join(path.parts[-3 if nested else -2 :])
