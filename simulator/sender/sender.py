"""Send posts from several threads, retry as the platform would, keep the account."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from simulator.sender.retry_policy import RetryPolicy, retry_delay
from simulator.sender.schedule import Schedule
from simulator.sender.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.ledger import Ledger
    from simulator.sender.endpoint import Answer, WebhookEndpoint
    from simulator.sender.schedule import Attempt
    from simulator.sender.tally import Summary
    from simulator.traffic import Post

GLANCE_SECONDS = 0.1
"""How often the progress is told: a person sees no finer."""


class Sender:
    """Threads that post what the schedule hands out. The tally and the ledger change under one lock."""

    def __init__(
        self,
        endpoint: WebhookEndpoint,
        posts: Iterator[Post],
        ledger: Ledger,
        *,
        policy: RetryPolicy,
        rate: float,
    ) -> None:
        self._endpoint = endpoint
        self._schedule = Schedule(posts, rate)
        self._ledger = ledger
        self._policy = policy
        self._tally = Tally()
        self._lock = threading.Lock()

    def run(self, threads: int, progress: Callable[[Tally], None]) -> Summary:
        """Send everything; blocks until each post is answered or given up.

        An interrupt stops the threads after their current request and is raised on; the ledger stays right.
        """
        started = time.monotonic()
        workers = [threading.Thread(target=self._work, name=f"sender-{index}") for index in range(threads)]
        for worker in workers:
            worker.start()
        try:
            for worker in workers:
                while worker.is_alive():
                    worker.join(GLANCE_SECONDS)
                    progress(self._tally)
        finally:
            self._schedule.stop()
            for worker in workers:
                worker.join()
        return self._tally.summary(time.monotonic() - started)

    def _work(self) -> None:
        while attempt := self._schedule.next_attempt():
            answer = self._endpoint.post(attempt.post.body)
            self._conclude(attempt, answer)

    def _conclude(self, attempt: Attempt, answer: Answer) -> None:
        delay = retry_delay(
            self._policy, attempt=attempt.number, status=answer.status, retry_after=answer.retry_after
        )
        with self._lock:
            self._tally.note_request(answer.status, answer.latency)
            if delay is None:
                self._tally.settled += 1
                self._tally.answered += answer.status == 200
                self._ledger.note(attempt.post, status=answer.status, attempts=attempt.number)
            else:
                self._tally.retries += 1
        if delay is None:
            self._schedule.settle()
        else:
            self._schedule.retry(attempt, delay)
