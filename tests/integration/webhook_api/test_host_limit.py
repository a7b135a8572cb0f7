"""OM_JOURNAL_MAX_BYTES is a limit of the host, used up by all processes before any event is refused."""

import signal
from pathlib import Path

from tests.services import GONE, Edge, Service, post, running
from tests.waiting import wait_until

LIMIT = 1024 * 1024
BODY = b"x" * 20_000


def _fill(edge):
    """Post until an event is refused: then no process may have room for it."""
    while (status := post(edge.url, BODY).status_code) == 200:
        pass
    assert status == 503


def _bytes_on_disk(directory):
    return sum(path.stat().st_size for path in (directory / "state" / "journal").glob("*/*.segment"))


def _skipped(edge):
    """Return the directories of dead processes that fit into no share and wait for room."""
    return {name for process in edge.health()["processes"] for name in process["journal"]["skipped"]}


def _is_adopted(edge, journals):
    """Return whether what dead processes left is adopted, or waits for room."""
    return len({path.name for path in journals.iterdir()} - _skipped(edge)) == 2


def test_the_limit_holds_when_processes_die_and_one_adopts_for_all(tmp_path):
    settings = {
        "OM_JOURNAL_MAX_BYTES": str(LIMIT),
        "OM_MAX_BODY_BYTES": str(LIMIT // 4),
        "OM_EDGE_PROCESSES": "2",
    }
    journals = tmp_path / "state" / "journal"
    for _ in range(4):
        edge = Edge(Service(tmp_path, GONE, settings=settings))
        with running(edge):
            edge.start(wait_for_broker=False)
            edge.wait_until(lambda edge=edge: len(edge.health()["processes"]) == 2, timeout=20)
            edge.wait_until(lambda edge=edge: _is_adopted(edge, journals), timeout=20)
            waiting = sum(
                path.stat().st_size for name in _skipped(edge) for path in (journals / name).glob("*.segment")
            )
            _fill(edge)
            used = _bytes_on_disk(tmp_path)
            pids = [process["pid"] for process in edge.health()["processes"]]
            edge.end(signal.SIGKILL, timeout=5)
        # The next edge must not be taken for these, which serve on for a moment.
        wait_until(lambda pids=pids: not any(Path(f"/proc/{pid}/exe").exists() for pid in pids))
        # Processes count what they do not hold every five seconds: until then it may add to their shares.
        assert LIMIT - len(BODY) - LIMIT // 16 <= used <= LIMIT + waiting
