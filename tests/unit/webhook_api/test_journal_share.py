"""The journals of one host stay within a common limit while processes die and adopt journals."""

import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.webhook_api.journals import (
    NOW_US,
    close_segment,
    die,
    journal_in,
    keep,
    left_by_a_dead_process,
)
from webhook_api.health import has_peer_with_room, report, write_status
from webhook_api.journal import JournalFullError, list_segments

PROCESSES = 3
SHARE = 17_000
MAX_BYTES = SHARE * PROCESSES


def _bytes_on_disk(root):
    return sum(path.stat().st_size for path in root.glob("*/*.segment"))


def _is_kept(journal, size):
    try:
        keep(journal, b"x" * size)
    except JournalFullError:
        return False
    return True


def _share(root):
    return journal_in(root, max_bytes=MAX_BYTES, processes=PROCESSES)


class Host:
    """Processes that share a disk. A process is replaced after it ends, or while it runs on as an orphan."""

    def __init__(self, root):
        self.root = root
        self.journals = [_share(root) for _ in range(PROCESSES)]
        self.segments = [[] for _ in range(PROCESSES)]
        self.orphans = []
        self.now = 0.0

    def do(self, action, who):
        self.now += 6.0
        journal = self.journals[who]
        self.segments[who] += journal.tend(self.now)
        if action == "append":
            _is_kept(journal, 4_000)
        elif action == "fill":
            while _is_kept(journal, 3_000):
                pass
        elif action == "rotate" and journal.active.size:
            self.segments[who].append(journal.rotate(NOW_US))
        elif action == "prove" and self.segments[who]:
            journal.discard(self.segments[who].pop(0))
        elif action in {"die", "stop", "orphan"}:
            END[action](self, journal)
            self.journals[who] = _share(self.root)
            self.segments[who] = self.journals[who].tend(self.now)
        elif action == "end orphans":
            while self.orphans:
                die(self.orphans.pop())


END = {
    "die": lambda _host, journal: die(journal),
    "stop": lambda _host, journal: journal.close(),
    "orphan": lambda host, journal: host.orphans.append(journal),
}
ACTIONS = st.tuples(
    st.sampled_from(["append", "fill", "rotate", "look", "prove", *END, "end orphans"]),
    st.integers(min_value=0, max_value=PROCESSES - 1),
)


@settings(max_examples=60, deadline=None)
@example([("fill", 0), ("fill", 1), ("fill", 2), ("orphan", 0), ("fill", 0)])
@given(actions=st.lists(ACTIONS, max_size=40))
def test_the_journals_of_a_host_never_exceed_their_limit(tmp_path_factory, actions):
    host = Host(tmp_path_factory.mktemp("journal"))
    for action, who in actions:
        host.do(action, who)
        assert _bytes_on_disk(host.root) <= MAX_BYTES
        assert all(journal.status()["bytes"] <= SHARE for journal in host.journals)
    for journal in [*host.journals, *host.orphans]:
        die(journal)


def test_a_process_adopts_only_a_directory_that_fits_into_its_share(tmp_path):
    directory = left_by_a_dead_process(tmp_path, [b"x" * 10_000])
    full = _share(tmp_path)
    assert _is_kept(full, 8_000)
    assert full.tend(0.0) == []
    assert full.status()["skipped"] == {directory.name: "waits until a journal has room for its events"}
    newcomer = _share(tmp_path)
    [adopted] = newcomer.tend(0.0)
    assert adopted.size > 10_000
    assert full.tend(6.0) == []
    assert full.status()["skipped"] == {}


def test_a_process_adopts_up_to_half_of_its_share_at_first_and_the_rest_later(tmp_path):
    for _ in range(PROCESSES + 1):
        left_by_a_dead_process(tmp_path, [b"x" * 7_000])
    journals = [_share(tmp_path) for _ in range(PROCESSES)]
    assert [len(journal.tend(0.0)) for journal in journals] == [1, 1, 1]
    assert not any(journal.is_nearly_full for journal in journals)
    assert [len(journal.tend(6.0)) for journal in journals] == [1, 0, 0]


def test_events_are_refused_after_a_wrong_measurement_of_other_journals_until_the_next_measurement(
    tmp_path, monkeypatch
):
    left_by_a_dead_process(tmp_path, [b"x" * 10_000])
    journal = _share(tmp_path)
    monkeypatch.setattr("webhook_api.journal.process_directory._measure", lambda _directory: MAX_BYTES)
    journal.tend(0.0)
    monkeypatch.undo()
    assert not _is_kept(journal, 1_000)
    journal.tend(0.5)
    assert _is_kept(journal, 1_000)


def test_a_segment_larger_than_the_share_is_adopted_by_a_process_with_an_empty_journal(tmp_path):
    left_by_a_dead_process(tmp_path, [b"x" * 2 * SHARE])
    journal = _share(tmp_path)
    assert len(journal.tend(0.0)) == 1
    assert journal.refusal == "the journal is full"
    assert not list_segments(tmp_path)


def test_a_journal_that_refused_a_large_event_is_full_until_a_segment_is_proven(tmp_path):
    journal = _share(tmp_path)
    assert _is_kept(journal, 8_000)
    assert not _is_kept(journal, 10_000)
    assert _is_kept(journal, 1_000)
    assert journal.refusal == "the journal is full"
    journal.discard(close_segment(journal))
    assert journal.refusal is None


def test_an_edge_process_accepts_events_up_to_its_share_of_the_limit(make_stand):
    stand = make_stand(OM_JOURNAL_MAX_BYTES="1048576", OM_EDGE_PROCESSES="64")
    statuses = [stand.post(b"x" * 2000).status for _ in range(10)]
    assert statuses.count("200 OK") == 7


def _status(pid, journal):
    counts = dict.fromkeys(("oldest_entry_s", "republished", "postponed_segments", "oversized"), 0)
    gate = {"shedding": False, "queue_depth": 1, "is_polled": True}
    return {
        "pid": pid,
        "accepting_at": time.time(),
        "journal": {**journal.status(), **counts, "broker": "up"},
        "gate": gate,
    }


@pytest.mark.parametrize(
    ("other_holds", "has_room", "is_ready"),
    [(0, True, True), (SHARE - 2_000, False, True), (SHARE - 100, False, False)],
)
def test_a_host_is_ready_while_the_journal_of_one_of_its_processes_has_room(
    tmp_path, other_holds, has_room, is_ready
):
    full, other = (_share(tmp_path) for _ in range(2))
    while _is_kept(full, 1_000):
        pass
    assert full.is_nearly_full
    if other_holds:
        keep(other, b"x" * (other_holds - 20))
        _is_kept(other, 200)
    for pid, journal in ((1, full), (2, other)):
        write_status(journal.directory, _status(pid, journal))
    assert has_peer_with_room(tmp_path, 1) is has_room
    write_status(other.directory, _status(2, other) | {"accepting_at": time.time() - 4.0})
    assert not has_peer_with_room(tmp_path, 1)
    assert report(_status(1, full), tmp_path, 2 * SHARE).is_ready is is_ready
