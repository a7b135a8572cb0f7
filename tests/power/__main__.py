"""Cut the power to an edge and to its broker many times, and count the lost events: `make power`."""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.figures.evidence import record
from tests.power.broker import BrokerCut, cut_broker
from tests.power.cut import Cut, cut_power
from tests.power.disk import is_possible
from tests.servers import ensure_rabbitmq

LONG_SECONDS = 45.0
"""How long the edge runs before the cut: longer than the kernel keeps unwritten data in memory. Every 5 s,
the kernel writes data that is at least 30 s old to the disk."""

CUTS = 200
LONG_CUTS = 3
BROKER_CUTS = 10
MOST_LOST_SECONDS = 36.0


def main() -> int:
    """Print the losses, and return 1 if they exceed the guarantees with or without OM_JOURNAL_FSYNC."""
    parser = argparse.ArgumentParser(prog="python -m tests.power", description=__doc__)
    parser.add_argument(
        "--cuts", type=int, default=CUTS, help="with OM_JOURNAL_FSYNC, after up to two seconds"
    )
    parser.add_argument(
        "--long-cuts", type=int, default=LONG_CUTS, help=f"without it, after {LONG_SECONDS:g} s"
    )
    parser.add_argument("--broker-cuts", type=int, default=BROKER_CUTS, help="of the broker, after up to 6 s")
    arguments = parser.parse_args()
    if not is_possible():
        print("Loop devices and mkfs.ext4 are needed, as root.")
        return 1
    ensure_rabbitmq()
    with tempfile.TemporaryDirectory() as directory:
        flushed = [_cut(Path(directory), random.uniform(0.1, 2.0), fsync=True) for _ in range(arguments.cuts)]
        others = [_cut(Path(directory), LONG_SECONDS, fsync=False) for _ in range(arguments.long_cuts)]
        brokers = [_cut_broker(Path(directory)) for _ in range(arguments.broker_cuts)]
    line, is_good = judge(flushed, others, brokers)
    print(line)
    if len(flushed) >= CUTS and len(others) >= LONG_CUTS and len(brokers) >= BROKER_CUTS:
        record("power", line, passed=is_good)
    return 0 if is_good else 1


def judge(flushed: list[Cut], others: list[Cut], brokers: list[BrokerCut]) -> tuple[str, bool]:
    """Return the last line of the output, and whether the losses are within the guarantees."""
    answered = sum(cut.answered for cut in (*flushed, *others, *brokers))
    lost = sum(cut.lost for cut in flushed)
    lost_s = max((cut.lost_s for cut in others), default=0.0)
    lost_broker = sum(cut.lost for cut in brokers)
    line = (
        f"power: cuts={len(flushed) + len(others)} answered={answered} lost_fsync={lost} lost_s={lost_s:.1f} "
        f"broker_cuts={len(brokers)} lost_broker={lost_broker}"
    )
    is_effective = (
        all(cut.answered for cut in flushed)
        and (not others or any(cut.lost for cut in others))
        and (not brokers or any(cut.taken > 0 for cut in brokers))
    )
    return line, is_effective and not lost and not lost_broker and lost_s <= MOST_LOST_SECONDS


def _cut(directory: Path, seconds: float, *, fsync: bool) -> Cut:
    with tempfile.TemporaryDirectory(dir=directory) as own:
        cut = cut_power(Path(own, "cut"), seconds, fsync=fsync)
    print(f"{'with' if fsync else 'without'} fsync, after {seconds:.1f} s: {cut}", flush=True)
    return cut


def _cut_broker(directory: Path) -> BrokerCut:
    seconds = random.uniform(0.3, 6.0)
    with tempfile.TemporaryDirectory(dir=directory) as own:
        cut = cut_broker(Path(own, "cut"), seconds)
    print(f"the broker, after {seconds:.1f} s: {cut}", flush=True)
    return cut


if __name__ == "__main__":
    sys.exit(main())
