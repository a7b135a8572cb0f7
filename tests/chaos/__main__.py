"""Strike the running service with every fault: `python -m tests.chaos` or `make chaos`."""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.chaos.faults import FAULTS, LONGEST_FIRST
from tests.chaos.faults.clock import ensure_library
from tests.chaos.lanes import Order, run_in_lanes
from tests.chaos.sabotage import SABOTAGES, sabotaged_copy
from tests.chaos.stand import SOURCES
from tests.chaos.table import summary, table
from tests.servers import ensure_postgresql, ensure_rabbitmq

if TYPE_CHECKING:
    from tests.chaos.run import Result

STARTED = time.monotonic()
_print_lock = threading.Lock()


def main() -> int:
    """Return 0 only when every fault struck and nothing was lost or repeated."""
    options = _parse()
    ensure_rabbitmq()
    ensure_postgresql()
    ensure_library()
    print(f"chaos: seed {options.seed:x}, {options.lanes} lanes", flush=True)
    orders = [
        Order(number, stand, options.seed) for number in options.fault for stand in FAULTS[number].stands
    ]
    if options.sabotage is None:
        results = run_in_lanes(orders, options.lanes, SOURCES, _say)
    else:
        with tempfile.TemporaryDirectory(prefix="open-messaging-sabotaged-") as directory:
            sources = sabotaged_copy(SABOTAGES[options.sabotage], Path(directory))
            results = run_in_lanes(orders, options.lanes, sources, _say)
    return _conclude(results)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--fault", type=int, action="append", choices=sorted(FAULTS), help="only this one")
    parser.add_argument("--seed", type=lambda text: int(text, 16), help="hexadecimal, of an earlier run")
    parser.add_argument("--lanes", type=int, default=4, help="faults side by side (%(default)s)")
    parser.add_argument("--sabotage", choices=sorted(SABOTAGES), help="break the product first: must fail")
    options = parser.parse_args()
    options.seed = secrets.randbits(32) if options.seed is None else options.seed
    shown_by = SABOTAGES[options.sabotage].faults if options.sabotage else LONGEST_FIRST
    options.fault = options.fault or shown_by
    return options


def _say(order: Order, line: str) -> None:
    with _print_lock:
        elapsed = time.monotonic() - STARTED
        print(f"{elapsed:6.0f} s  fault {order.fault:2} on {order.stand}: {line}", flush=True)


def _conclude(results: list[Result]) -> int:
    print(table(results))
    print(summary(results), flush=True)
    return 0 if results and all(result.is_good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
