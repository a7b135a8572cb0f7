from types import SimpleNamespace

from workers.db.ingest import entering


def test_a_large_backlog_enters_the_outbox_in_several_statements(monkeypatch):
    written = []
    put = SimpleNamespace(execute=lambda _connection, rows: written.append(rows))
    monkeypatch.setattr(entering, "_PUT", put)
    rows = [(number,) for number in range(25_000)]
    entering.put_in_outbox(None, rows)
    assert [row for part in written for row in part] == rows
    assert [len(part) for part in written] == [10_000, 10_000, 5_000]
