"""List known defects in settle and deliver. A run inserts one of them into the product."""

from typing import Final

from tests.simulation.defects import Defect

DEFECTS: Final = (
    Defect(
        "a run goes on after a failed delivery",
        "workers/deliver/sender.py",
        "FINAL = FINAL | {Outcome.TRANSIENT}\n",
    ),
    Defect(
        "a lease ends before its requests do",
        "workers/deliver/sender.py",
        "MARGIN_SECONDS = -60.0\nSender.lease_seconds = property(lambda _self: 0.02)\n",
    ),
    Defect(
        "deliveries behind one that waits are leased",
        "workers/deliver/leasing.py",
        """
_find = find_first
def find_first(*arguments):
    return [(outbox_id, outbox_id) for outbox_id, _ in _find(*arguments)]
_cut_runs = lambda rows: [(row[0], row[1]) for row in sorted(rows) if row[2]]
""",
    ),
    Defect(
        "parked deliveries are not recalled",
        "workers/deliver/recording.py",
        "recall_parked = lambda *_: None\n",
    ),
    Defect(
        "results are forgotten if the database is away",
        "workers/deliver/deliverer.py",
        """
_work = Deliverer._work
def _work_once(self, attempts):
    try:
        _work(self, attempts)
    finally:
        self._unrecorded.clear()
Deliverer._work = _work_once
""",
    ),
    Defect(
        "a dead letter is recorded before it is published",
        "workers/deliver/dead_letters.py",
        """
_publish = DeadLetterPublisher._publish
def _publish_later(self, keys):
    rows = transact(self.engine, _read, keys)
    self._record_published(rows)
    return len(list(publish_dead_letters(self.amqp_urls, map(_make_dead_letter, rows))))
DeadLetterPublisher._publish = _publish_later
""",
    ),
    Defect(
        "one refused conversation holds up its destination",
        "workers/deliver/outcome.py",
        "REFUSING_SECONDS = 0.0\nREFUSING_PAUSE_SECONDS = 8.0\n",
    ),
    Defect(
        "the outbox is committed before the state",
        "workers/settle/conversations.py",
        """
_put = put_in_outbox
def put_in_outbox(connection, rows):
    _put(connection, rows)
    connection.exec_driver_sql("COMMIT")
    connection.exec_driver_sql("BEGIN IMMEDIATE")
""",
    ),
    Defect(
        "a window's events are settled in the order of arrival",
        "workers/settle/settler.py",
        """
_settle = settle_window
def settle_window(state, pending):
    settlement = _settle(state, pending)
    entries = sorted(settlement.entries, key=lambda entry: entry.event_id or 0)
    return SettledWindow(settlement.state, tuple(entries), settlement.decisions)
""",
    ),
    Defect(
        "a late update overwrites a newer one",
        "workers/settle/plan.py",
        "_rank = lambda routing: 0\n",
    ),
    Defect(
        "a contradiction counts at once",
        "workers/settle/verifier.py",
        """
_verify = verify
def verify(update, platform, age):
    return _verify(update, platform, max(age, SURE_AFTER_SECONDS))
""",
    ),
    Defect(
        "an update that waits is settled without the platform's answer",
        "workers/settle/settler.py",
        """
from types import SimpleNamespace
_read = updates.read_waiting
updates = SimpleNamespace(read_waiting=lambda connection, ids, is_answered: _read(connection, ids))
""",
    ),
)
