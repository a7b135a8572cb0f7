"""Send probes, one at a time, and give the connection up when one is not answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from messaging.publishing import Publisher


class Prober:
    """The probe that is on its way over the present connection, if any.

    Args:
        publisher: Over which probes go.
        on_ask: Called when a probe is being sent.
        on_answer: Given the deliveries ready in the events queue when it is answered.
    """

    def __init__(
        self, publisher: Publisher, on_ask: Callable[[], None], on_answer: Callable[[int], None]
    ) -> None:
        self._publisher = publisher
        self._on_ask = on_ask
        self._on_answer = on_answer
        self._asked_at: float | None = None
        self._number = 0

    def probe(self, now: float, patience: float) -> None:
        """Send a probe unless one is on its way; drop the connection where that is older than *patience*.

        Args:
            now: Monotonic seconds.
            patience: Seconds that an answer may take.
        """
        if self._asked_at is None:
            self._ask(now)
        elif now - self._asked_at > patience:
            self._publisher.abort("no answer to a probe")

    def forget(self) -> None:
        """Expect no answer any more: the connection has changed."""
        self._asked_at = None
        self._number += 1

    def resume(self, now: float) -> None:
        """Start the wait for the answer over: the broker has not read until now."""
        if self._asked_at is not None:
            self._asked_at = now

    def _ask(self, now: float) -> None:
        self._asked_at = now
        self._number += 1
        number = self._number
        self._on_ask()

        def on_answer(ready_count: int) -> None:
            if number == self._number:
                self._asked_at = None
                self._on_answer(ready_count)

        self._publisher.probe(on_answer)
