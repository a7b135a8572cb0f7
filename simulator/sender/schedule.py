"""Hand out what is to be sent next: new posts at the planned rate, retries when they fall due."""

from __future__ import annotations

import heapq
import threading
import time
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.traffic import Post


@dataclass(frozen=True, slots=True)
class Attempt:
    """A post to be sent now.

    Args:
        post: What to send.
        number: The how many-th time this is, from 1.
    """

    post: Post
    number: int = 1


class Schedule:
    """A post is either still to come, waiting for its retry, in flight, or settled.

    Threads share it. `next_attempt` blocks while nothing is due and something may still become due: a post in
    flight may come back for a retry. It ends when all is settled, or after `stop`. Of the threads that wait,
    one watches the clock and the others sleep until it leaves: else all would wake for each post.
    """

    def __init__(
        self, posts: Iterator[Post], rate: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._posts = posts
        self._interval = 1 / rate if rate else 0.0
        self._clock = clock
        self._due_new = clock()
        self._retries: list[tuple[float, int, Attempt]] = []
        self._tie = count()
        self._in_flight = 0
        self._exhausted = False
        self._stopped = False
        self._clock_is_watched = False
        self._changed = threading.Condition()

    def next_attempt(self) -> Attempt | None:
        """Return what to send now, or None where there is nothing left to send."""
        with self._changed:
            while not self._stopped:
                attempt = self._due()
                if attempt is not None:
                    self._in_flight += 1
                    self._changed.notify()
                    return attempt
                if self._exhausted and not self._retries and not self._in_flight:
                    break
                self._wait()
            self._changed.notify_all()
            return None

    def retry(self, attempt: Attempt, delay: float) -> None:
        """Take *attempt* back, to be handed out once more after *delay* seconds."""
        again = Attempt(attempt.post, attempt.number + 1)
        with self._changed:
            heapq.heappush(self._retries, (self._clock() + delay, next(self._tie), again))
            self._in_flight -= 1
            # Whoever watches the clock must see the new moment, and it may be any of those that wait.
            self._changed.notify_all()

    def settle(self) -> None:
        """Note that a post needs no further attempt."""
        with self._changed:
            self._in_flight -= 1
            if self._exhausted and not self._in_flight:
                self._changed.notify_all()

    def stop(self) -> None:
        """Hand out nothing more."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _due(self) -> Attempt | None:
        now = self._clock()
        if self._retries and self._retries[0][0] <= now:
            return heapq.heappop(self._retries)[2]
        if self._exhausted or self._due_new > now:
            return None
        post = next(self._posts, None)
        if post is None:
            self._exhausted = True
            return None
        self._due_new = max(self._due_new + self._interval, now - 1.0) if self._interval else now
        return Attempt(post)

    def _wait(self) -> None:
        if self._clock_is_watched:
            self._changed.wait()
            return
        self._clock_is_watched = True
        self._changed.wait(self._seconds_to_next())
        self._clock_is_watched = False

    def _seconds_to_next(self) -> float | None:
        """Return how long nothing can become due by itself, None for ever."""
        moments = [] if self._exhausted else [self._due_new]
        moments += [self._retries[0][0]] if self._retries else []
        return max(0.0, min(moments) - self._clock()) if moments else None
