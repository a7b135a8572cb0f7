"""OM_JOURNAL_MAX_BYTES is a limit of the host, used up by all processes before any event is refused."""

import signal

from tests.services import GONE, Edge, Service, post, running

LIMIT = 1024 * 1024
BODY = b"x" * 20_000


def _fill(edge):
    """Post until an event is refused: then no process may have room for it."""
    while (status := post(edge.url, BODY).status_code) == 200:
        pass
    assert status == 503


def _bytes_on_disk(directory):
    return sum(path.stat().st_size for path in (directory / "state" / "journal").glob("*/*.segment"))


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
            # Until the processes of the killed master have ended, and what they left is adopted.
            edge.wait_until(lambda: len(list(journals.iterdir())) == 2, timeout=20)
            _fill(edge)
            used = _bytes_on_disk(tmp_path)
            edge.end(signal.SIGKILL, timeout=5)
        assert LIMIT - len(BODY) - LIMIT // 16 <= used <= LIMIT
