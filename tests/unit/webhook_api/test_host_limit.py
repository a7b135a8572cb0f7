"""All journals of a host together stay within one limit, at every moment, whoever dies and whoever adopts."""

import fcntl
import shutil
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.webhook_api.journals import NOW_US, die, journal_in, keep, left_by_a_dead_process
from webhook_api.host_table import Column, HostTable
from webhook_api.journal import JournalFullError

MAX_BYTES = 50_000
PROCESSES = 3


def _bytes_on_disk(root):
    return sum(path.stat().st_size for path in root.glob("*/*.segment"))


def _is_kept(journal, size):
    try:
        keep(journal, b"x" * size)
    except JournalFullError:
        return False
    return True


class Host:
    """Some processes on one disk, to which things happen."""

    def __init__(self, root):
        self.root = root
        self.journals = [self._start() for _ in range(PROCESSES)]
        self.segments = [[] for _ in range(PROCESSES)]
        self.now = 0.0

    def _start(self):
        return journal_in(self.root, max_bytes=MAX_BYTES, processes=PROCESSES)

    def do(self, what, who):
        self.now += 6.0
        journal = self.journals[who]
        if what == "append":
            _is_kept(journal, 4_000)
        elif what == "fill":
            while _is_kept(journal, 3_000):
                pass
        elif what == "rotate" and journal.active.size:
            self.segments[who].append(journal.rotate(NOW_US))
        elif what == "tend":
            self.segments[who] += journal.tend(self.now)
        elif what == "prove" and self.segments[who]:
            journal.discard(self.segments[who].pop(0))
        elif what == "die":
            die(journal)
            self.journals[who], self.segments[who] = self._start(), []
        elif what == "stop":
            journal.close()
            self.journals[who], self.segments[who] = self._start(), []


HAPPENINGS = st.tuples(
    st.sampled_from(["append", "fill", "rotate", "tend", "prove", "die", "stop"]),
    st.integers(min_value=0, max_value=PROCESSES - 1),
)


@settings(max_examples=60, deadline=None)
@given(happenings=st.lists(HAPPENINGS, max_size=40))
def test_the_limit_is_never_passed(tmp_path_factory, happenings):
    host = Host(tmp_path_factory.mktemp("journal"))
    for what, who in happenings:
        host.do(what, who)
        assert _bytes_on_disk(host.root) <= MAX_BYTES
    for journal in host.journals:
        die(journal)


def test_one_process_may_use_what_the_others_leave(tmp_path):
    busy, idle = (journal_in(tmp_path, max_bytes=MAX_BYTES, processes=2) for _ in range(2))

    while _is_kept(busy, 1_000):
        pass

    assert MAX_BYTES - 2_000 <= _bytes_on_disk(tmp_path) <= MAX_BYTES
    assert not _is_kept(idle, 1_000)
    assert idle.refusal == busy.refusal == "the journal is full"


def test_the_first_event_after_a_start_knows_what_dead_processes_left(tmp_path):
    left_by_a_dead_process(tmp_path, [b"x" * (MAX_BYTES - 2_000)])

    newcomer = journal_in(tmp_path, max_bytes=MAX_BYTES)

    assert not _is_kept(newcomer, 2_000)


def test_two_processes_that_start_together_know_of_each_other(tmp_path, monkeypatch):
    journals = []

    def start_and_fill():
        journals.append(journal_in(tmp_path, max_bytes=MAX_BYTES, processes=2))
        while _is_kept(journals[-1], 1_000):
            pass

    def flock(descriptor, operation):
        # While one process waits for the lock, another gets its directory and its row.
        monkeypatch.undo()
        start_and_fill()
        fcntl.flock(descriptor, operation)

    locking = SimpleNamespace(flock=flock, LOCK_EX=fcntl.LOCK_EX, LOCK_UN=fcntl.LOCK_UN)
    monkeypatch.setattr("webhook_api.host_table.fcntl", locking)
    start_and_fill()

    assert len(journals) == 2
    assert MAX_BYTES - 2_000 <= _bytes_on_disk(tmp_path) <= MAX_BYTES


def test_there_is_room_for_all_when_one_lets_go(tmp_path):
    one, other = (journal_in(tmp_path, max_bytes=MAX_BYTES, processes=2) for _ in range(2))
    while _is_kept(one, 1_000):
        pass
    assert not _is_kept(other, 10_000)

    one.discard(one.rotate(NOW_US))

    assert other.refusal is None
    assert _is_kept(other, 10_000)


def test_the_rows_of_directories_that_are_gone_are_used_again(tmp_path):
    for _ in range(20):
        shutil.rmtree(left_by_a_dead_process(tmp_path, [b"x" * 1_000]))
        journal_in(tmp_path).close()

    assert (tmp_path / ".processes").stat().st_size <= 2 * 32


def test_where_the_table_cannot_be_used_each_process_keeps_to_its_share(tmp_path):
    (tmp_path / ".processes").mkdir()

    journals = [journal_in(tmp_path, max_bytes=MAX_BYTES, processes=2) for _ in range(2)]
    for journal in journals:
        while _is_kept(journal, 1_000):
            pass
        journal.tend(0.0)

    assert MAX_BYTES - 3_000 <= _bytes_on_disk(tmp_path) <= MAX_BYTES
    assert journals[0].status()["skipped"] == {".processes": "is a directory"}


def test_what_each_process_writes_in_its_row_is_told_to_the_others(tmp_path):
    tables = [HostTable(tmp_path) for _ in range(3)]
    for number, table in enumerate(tables):
        table.join(str(number), lambda joined=number: {str(other): 0 for other in range(joined)})
        table.write(Column.PUBLISHED, 10**number)

    assert [table.others(Column.PUBLISHED) for table in tables] == [110, 101, 11]
    for table in tables:
        table.close()


def test_what_a_process_writes_while_another_joins_stands(tmp_path):
    class Slow(HostTable):
        def _rows(self):
            rows = super()._rows()
            neighbour.write(Column.HELD, 700)
            return rows

    neighbour, newcomer = HostTable(tmp_path), Slow(tmp_path)
    neighbour.join("1", lambda: {"1": 0})
    newcomer.join("2", lambda: {"1": 0, "2": 0})
    bystander = HostTable(tmp_path)
    bystander.join("3", lambda: {"1": 0, "2": 0, "3": 0})

    assert bystander.others(Column.HELD) == 700
    for table in (neighbour, newcomer, bystander):
        table.close()


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 4096])
def test_a_table_of_nonsense_is_put_right_by_the_next_process(tmp_path, content):
    (tmp_path / ".processes").write_bytes(content)

    assert _is_kept(journal_in(tmp_path, max_bytes=MAX_BYTES), 1_000)
