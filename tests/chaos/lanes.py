"""Run the faults in several lanes side by side."""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.chaos.run import Result
from tests.chaos.stand import SOURCES

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Order:
    """One fault on one kind of stand."""

    fault: int
    stand: str
    seed: int


def run_in_lanes(
    orders: Sequence[Order], lanes: int, sources: Path, say: Callable[[Order, str], None]
) -> list[Result]:
    """Run every order; blocks until the last is done.

    Args:
        orders: Worked off in this order, by whichever lane is free.
        lanes: Processes side by side.
        sources: Where the product is run from.
        say: Told of progress, from several threads.
    """
    waiting: queue.SimpleQueue[Order] = queue.SimpleQueue()
    for order in orders:
        waiting.put(order)
    results: list[Result] = []
    threads = [
        threading.Thread(target=_work_off, args=(waiting, results, sources, say))
        for _ in range(min(lanes, len(orders)))
    ]
    for thread in threads:
        thread.start()
        # Two stands that start in the same second search the same ports.
        time.sleep(1.0)
    for thread in threads:
        thread.join()
    return sorted(results, key=lambda result: (result.number, result.stand))


def _work_off(
    waiting: queue.SimpleQueue[Order],
    results: list[Result],
    sources: Path,
    say: Callable[[Order, str], None],
) -> None:
    command = [sys.executable, "-m", "tests.chaos.lane", str(sources)]
    with subprocess.Popen(
        command, cwd=SOURCES, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        while True:
            try:
                order = waiting.get_nowait()
            except queue.Empty:
                break
            result = _carry_out(process, order, say)
            say(order, f"{'good' if result.is_good else 'FAILED'}: {result}")
            results.append(result)
        assert process.stdin is not None
        process.stdin.close()


def _carry_out(process: subprocess.Popen[str], order: Order, say: Callable[[Order, str], None]) -> Result:
    assert process.stdin is not None
    assert process.stdout is not None
    line = {"fault": order.fault, "stand": order.stand, "seed": order.seed}
    try:
        process.stdin.write(json.dumps(line) + "\n")
        process.stdin.flush()
    except OSError:
        return Result(order.fault, order.stand, failure="the lane's process has ended")
    for answer in process.stdout:
        told = json.loads(answer)
        if "result" in told:
            return Result(**told["result"])
        say(order, told["say"])
    return Result(order.fault, order.stand, failure="the lane's process has ended")
