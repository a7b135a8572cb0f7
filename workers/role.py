"""Run a role that works on SQL: repeat its steps until it is stopped, and wait for what is away."""

import contextvars
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final

from messaging.clock import delay_before
from messaging.errors import RetryLaterError
from messaging.log import logger
from messaging.process import ServiceManager

IDLE_SECONDS: Final = 0.03
"""Between two looks at a database without work: little beside the 100 ms that settling and delivering
together may add to a window."""

TICK_SECONDS: Final = 1.0

STOP_SECONDS: Final = 4.5
"""How long a stop waits for the steps in progress; what is not committed then is rolled back."""

STUCK_SECONDS: Final = 120.0
"""A step that takes longer is stuck: the process no longer reports to systemd, which restarts it."""


class _Lane:
    """One step and the thread that repeats it."""

    def __init__(self, step: Callable[[], int], stopped: threading.Event, idle_seconds: float) -> None:
        self._step = step
        self._idle_seconds = idle_seconds
        self._stopped = stopped
        self.finish: Callable[[], object] = lambda: None
        self.progressed_at = time.monotonic()
        self.failure: BaseException | None = None
        run = contextvars.copy_context().run
        self.thread = threading.Thread(target=run, args=(self._run,), name=step.__name__, daemon=True)

    def _run(self) -> None:
        attempt = 1
        try:
            while not self._stopped.is_set():
                try:
                    delay = 0.0 if self._step() else self._idle_seconds
                    attempt = 1
                except RetryLaterError as error:
                    attempt += 1
                    delay = max(error.delay, delay_before(attempt))
                    logger().warning(
                        "step_waits", step=self._step.__name__, reason=str(error), retry_in_s=delay
                    )
                self._stopped.wait(delay)
                self.progressed_at = time.monotonic()
            self.finish()
        except BaseException as error:  # noqa: BLE001  # the main thread raises it
            self.failure = error
            self._stopped.set()


class Role:
    """Steps that are repeated side by side, so that a slow one delays no other.

    Args:
        name: For the log.
        steps: Each returns how much it has done; 0: there was nothing to do.
        service_manager: Receives the states that systemd expects.
        idle_seconds: Between two calls of a step that had nothing to do.
        finish: Called after the last call of the first step, on its thread.
    """

    def __init__(
        self,
        name: str,
        steps: Sequence[Callable[[], int]],
        service_manager: ServiceManager,
        *,
        idle_seconds: float = IDLE_SECONDS,
        finish: Callable[[], object] = lambda: None,
    ) -> None:
        self._name = name
        self._service_manager = service_manager
        self._stopped = threading.Event()
        self._lanes = [_Lane(step, self._stopped, idle_seconds) for step in steps]
        self._lanes[0].finish = finish

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; every step is committed or without trace when it returns.

        A step that does not end in time is abandoned: the process must end.

        Raises:
            Exception: A step failed unexpectedly; the process must end and start again.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stopped.set())
        for lane in self._lanes:
            lane.thread.start()
        logger().info("role_started", role=self._name)
        self._service_manager.ready()
        while not self._stopped.wait(TICK_SECONDS):
            if all(time.monotonic() - lane.progressed_at < STUCK_SECONDS for lane in self._lanes):
                self._service_manager.alive()
        self._service_manager.stopping()
        deadline = time.monotonic() + STOP_SECONDS
        for lane in self._lanes:
            lane.thread.join(max(0.0, deadline - time.monotonic()))
        logger().info("role_stopped", role=self._name)
        for lane in self._lanes:
            if lane.failure is not None:
                raise lane.failure
