"""Run edge processes, their disk and their broker on one simulated clock.

Every choice is derived from the seed, and no code reads the machine's clock, so the same seed and actions
reproduce a run byte for byte.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from messaging.management import Members
from tests.simulation.broker import Broker
from tests.simulation.file_system import FileSystem, KilledError
from tests.simulation.nodes import Directory
from tests.simulation.paths import SimulatedPath
from tests.simulation.process import EdgeProcess
from tests.simulation.promises import Promises
from webhook_api.backpressure import DepthSample, QueueReport

if TYPE_CHECKING:
    from collections.abc import Callable

POLL_SECONDS = 1.0
WORK_SECONDS = 0.25
PEACE_SECONDS = 6.0
"""How many seconds after a disk fault requests may still be refused. The edge retries its disk every half
second, and the directories of other processes every five seconds."""


class BrokenPromiseError(Exception):
    """A promise was broken. The run ends."""


@dataclass(frozen=True, slots=True)
class Setting:
    """The settings that do not change during a run."""

    nodes: int = 1
    confirms: bool = False
    fsync: bool = False
    max_bytes: int = 1 << 24
    high: int = 1000
    low: int = 500


class World:
    """A simulated host with two edge processes and a broker."""

    def __init__(self, seed: int, setting: Setting, tell: Callable[[str], None] | None = None) -> None:
        self.random = random.Random(seed)
        self.setting = setting
        self.now = 1000.0
        self.wall_offset = 0.0
        self.promises = Promises(self)
        self.files = FileSystem(self.wall_us, self._on_call, self.promises.on_unlink)
        self.state = SimulatedPath(self.files, ("state",))
        self.files.top.entries["state"] = self.files.top.durable["state"] = Directory()
        self.broker = Broker(self, setting.nodes)
        self.living: list[EdgeProcess] = []
        self.is_polling = self.is_telling_truth = True
        self.workers_rate = 50
        self.disk_is_bad_until = 0.0
        self.deep_since: float | None = None
        self._tell = tell
        self._calls: list[Any] = []
        self._order = self._processes = self._requests = 0
        self._running: list[EdgeProcess] = []
        self._until_switch = 0
        self._switch_later()

    # Methods that simulate time.

    def wall_us(self) -> int:
        """Return the time on the wall clock, which can step, in microseconds."""
        return round((self.now + self.wall_offset + 1_732_462_000) * 1_000_000)

    def schedule(self, seconds: float, call: Callable[..., None], *arguments: object) -> None:
        """Schedule a call after a delay. The call belongs to no process."""
        self.schedule_call(self.now + seconds, call, arguments)

    def schedule_call(
        self, at: float, call: Any, arguments: Any, process: Any = None, timer: Any = None
    ) -> None:
        """Schedule a call for the time *at*. If *process* is not None, the call runs as that process."""
        self._order += 1
        heappush(self._calls, (at, self._order, process, timer, call, arguments))

    def run(self, until: float) -> None:
        """Run scheduled calls until the time *until*.

        Raises:
            BrokenPromiseError: A promise was broken. The message names it.
        """
        calls, promises = self._calls, self.promises
        while calls and calls[0][0] <= until:
            self._run_next()
            if promises.broken is not None:
                raise BrokenPromiseError(promises.broken)
        self.now = max(self.now, until)

    def _run_next(self) -> None:
        at, order, process, timer, call, arguments = heappop(self._calls)
        self.now = max(self.now, at)
        if process is None:
            call(*arguments)
        elif not process.is_dead and not (timer and timer.is_cancelled):
            if process.frozen_until > self.now:
                # Keep the call's position in the order, even if the process is frozen again before the call.
                heappush(self._calls, (process.frozen_until, order, process, timer, call, arguments))
            else:
                self.run_as(process, call, *arguments)

    def run_as(self, process: EdgeProcess, call: Callable[..., None], *arguments: object) -> None:
        """Call a function as a process. An error that escapes from the process's loop is a broken promise."""
        before, self.files.process = self.files.process, process
        self._running.append(process)
        try:
            call(*arguments)
        except KilledError:
            pass
        except BaseException as error:  # noqa: BLE001  # SystemExit, too
            if not process.is_dead:
                self.promises.fail(f"edge {process.number} fails: {error!r}")
        finally:
            self._running.pop()
            self.files.process = before

    # Methods that simulate processes.

    def start_process(self) -> None:
        """Start an additional edge process."""
        self._processes += 1
        process = EdgeProcess(self, self._processes)
        self.living.append(process)
        self.note("edge %d starts", process.number)
        self.run_as(process, process.start)
        self.schedule(self.random.random() * POLL_SECONDS, self.poll, process)

    def request(self, process: EdgeProcess, size: int = 1) -> None:
        """Send one webhook to a process, which handles it in the next turn of its loop."""
        self._requests += 1
        process.loop.call_soon(process.request, b"<%d>%s" % (self._requests, b"." * size))

    def disk_is_bad(self, seconds: float) -> None:
        """Permit 503 answers for *seconds*, and then for as long as the edge can take to retry the disk."""
        self.disk_is_bad_until = max(self.disk_is_bad_until, self.now + seconds + PEACE_SECONDS)

    def kill(self, process: EdgeProcess, how: str = "is killed") -> None:
        """Kill a process. Its successor starts a moment later."""
        if process.is_dead:
            return
        self.note("edge %d %s", process.number, how)
        process.is_dead = True
        self.living.remove(process)
        self.files.release(process)
        for connection in [one for one in self.broker.connections if one.loop is process.loop]:
            if self.random.random() < 0.5:  # lose the bytes that the kernel had not sent
                connection.cut(0.0)
        self.schedule(self.random.random(), self.start_process)

    def _on_call(self, _name: str) -> None:
        process = self.files.process
        if process is None:
            return
        if process.is_dead:
            raise KilledError
        process.calls += 1
        if process.calls == process.kill_at_call:
            self.kill(process, f"is killed at its call of {_name}")
            raise KilledError
        self._until_switch -= 1
        if self._until_switch <= 0:
            self._switch_later()
            self._run_others()
            if process.is_dead:
                raise KilledError

    def _switch_later(self) -> None:
        self._until_switch = self.random.randint(1, 60)

    def _run_others(self) -> None:
        """Let other processes run during a system call of the running process."""
        until = self.now + 0.3
        for _ in range(self.random.randint(1, 8)):
            if not self._calls or self._calls[0][0] > until or self._calls[0][2] in self._running:
                break
            self._run_next()

    # Methods that simulate the poller and the workers.

    def poll(self, process: EdgeProcess) -> None:
        """Report the queue's state to a process, as its poller thread does every second."""
        if process.is_dead:
            return
        self.schedule(POLL_SECONDS, self.poll, process)
        if not (self.is_polling and self.broker.is_up) or process.frozen_until > self.now:
            return
        nodes, depth = self.broker.nodes, len(self.broker.ready)
        online = nodes if self.broker.has_majority else nodes // 2
        is_trusted = self.broker.has_majority and not self.broker.is_blocked
        sample = DepthSample(self.now, depth if self.is_telling_truth else 0, 0, is_trusted)
        report = QueueReport(self.now, 0, Members(nodes, online, has_leader=True), sample)
        process.loop.call_later(self.random.random() * 0.1, process.take_report, report)

    def work(self) -> None:
        """Consume some events as the workers do, and record since when the queue has been too deep."""
        self.schedule(WORK_SECONDS, self.work)
        self.broker.consume(self.workers_rate)
        is_deep = len(self.broker.ready) > self.setting.high + 20
        # A process whose probes get no answer relies on the management API, even if the API's depth is wrong.
        is_reported = self.is_polling and not self.broker.is_blocked and self.broker.latency < 1
        heard = {connection.loop for connection in self.broker.connections} if is_deep else set()
        is_counted = is_deep and is_reported and all(process.loop in heard for process in self.living)
        self.deep_since = (self.deep_since or self.now) if is_counted else None

    def note(self, text: str, *values: object) -> None:
        """Add a step to the run's story if the caller asked for the story."""
        if self._tell is not None:
            self._tell(f"{self.now - 1000:9.4f} {text % values}")
