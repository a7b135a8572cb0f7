"""Work off faults one after the other on stands of one's own: a process beside others like it.

Orders come in on stdin, progress and results go out on stdout, each a line of JSON.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from tests.chaos.cluster_stand import ClusterStand
from tests.chaos.faults import FAULTS
from tests.chaos.run import Result, run_fault
from tests.chaos.stand import SOURCES, Stand
from tests.servers import ServerStartError

StandMaker = Callable[[Path, Path], Stand]
STANDS: dict[str, StandMaker] = {
    "postgresql": lambda directory, sources: Stand(directory, sources=sources),
    "sqlite": lambda directory, sources: Stand(directory, database="sqlite", sources=sources),
    "cluster": lambda directory, sources: ClusterStand(directory, sources=sources),
}


class Lane:
    """Keeps its stand from fault to fault, and makes another after a failure or for another kind.

    Args:
        sources: Where the product is run from.
    """

    def __init__(self, sources: Path) -> None:
        self._sources = sources
        self._kind = ""
        self._stand: Stand | None = None

    def run(self, number: int, kind: str, seed: int) -> Result:
        """Run one fault."""
        started = time.monotonic()
        try:
            stand = self._stand_of(kind)
        except Exception as error:  # noqa: BLE001  # a stand that does not come up is a result as well
            _say(f"the stand did not come up: {error}")
            self._leave(is_good=False)
            return Result(number, kind, failure=f"no stand: {error}".splitlines()[0])
        result = replace(run_fault(stand, FAULTS[number], seed, _say), stand=kind)
        if not result.is_good:
            self._leave(is_good=False)
        return replace(result, seconds=time.monotonic() - started)

    def close(self) -> None:
        """Stop the stand."""
        self._leave(is_good=True)

    def _stand_of(self, kind: str) -> Stand:
        if self._stand is None or kind != self._kind:
            self.close()
            self._kind = kind
            try:
                self._stand = self._make(kind)
            except ServerStartError as error:
                # A port that was free a moment ago may have been taken by another lane since.
                _say(f"another try, since a server did not start: {error}")
                self._stand = self._make(kind)
        return self._stand

    def _make(self, kind: str) -> Stand:
        stand = STANDS[kind](Path(tempfile.mkdtemp(prefix="open-messaging-chaos-")), self._sources)
        try:
            stand.start()
        except Exception:
            stand.stop()
            raise
        return stand

    def _leave(self, *, is_good: bool) -> None:
        """Stop the stand; what a failure left behind is kept for whoever looks into it."""
        stand, self._stand = self._stand, None
        if stand is None:
            return
        stand.stop()
        if is_good:
            shutil.rmtree(stand.directory, ignore_errors=True)
        else:
            _say(f"logs and data are kept in {stand.directory}")


def _say(line: str) -> None:
    print(json.dumps({"say": line}), flush=True)


def main() -> None:
    """Take orders until stdin ends."""
    lane = Lane(Path(sys.argv[1]) if len(sys.argv) > 1 else SOURCES)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            result = lane.run(order["fault"], order["stand"], order["seed"])
            print(json.dumps({"result": asdict(result)}), flush=True)
    finally:
        lane.close()


if __name__ == "__main__":
    main()
