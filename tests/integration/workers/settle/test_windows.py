"""The events of a closed window are settled in order and written to the outbox, on PostgreSQL and SQLite."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.workers.events import deliver, event, payload_of, routed, said
from tests.integration.workers.settle.conftest import OUTBOX, types


def test_a_window_is_not_settled_before_it_closes(intake, make_settler, clock, query):
    intake(deliver(said("a")))
    settler = make_settler()
    clock.seconds += 1.9
    intake(deliver(said("b", after_ms=1)))
    clock.seconds += 1.9
    assert settler.settle_windows() == 0
    clock.seconds += 0.2
    assert settler.settle_windows() == 1
    assert types(query) == ["new", "message", "message"]
    counts = query("SELECT settled_count, window_opened_at, window_closes_at FROM conversations")
    assert counts == [(2, None, None)]
    assert settler.settle_windows() == 0


def test_a_conversation_without_pauses_is_settled_after_ten_seconds(intake, make_settler, clock, query):
    settler = make_settler()
    for number in range(11):
        intake(deliver(said(str(number), after_ms=number)))
        assert settler.settle_windows() == (number == 10)
        clock.seconds += 1.0
    assert query("SELECT settled_count FROM conversations") == [(11,)]


def test_a_conversations_start_is_sent_at_once_but_its_messages_wait(intake, make_settler, clock, query):
    intake(deliver(said("early", after_ms=5)), deliver(event("new")))
    assert types(query) == ["new"]
    make_settler().settle_closed()
    assert types(query) == ["new", "message"]


def test_an_event_without_an_open_window_counts_as_settled_at_once(intake, make_settler, clock, query):
    counts = "SELECT event_count, settled_count FROM conversations ORDER BY conversation_id"
    intake(deliver(event("new")), deliver(said("a", conversation="c-2")))
    assert query(counts) == [(1, 1), (1, 0)]
    make_settler().settle_closed()
    intake(deliver(event("new", conversation="c-2")), deliver(said("b", after_ms=1)))
    assert query(counts) == [(2, 1), (2, 2)]
    intake(deliver(event("new", after_ms=2)))
    assert query(counts) == [(3, 1), (2, 2)]
    make_settler().settle_closed()
    assert query(counts) == [(3, 3), (2, 2)]


def test_updates_without_a_transition_do_not_affect_windows(intake, make_settler, clock, query):
    intake(
        deliver(routed("ALERTING", after_ms=1)), deliver(event("new", routing={"status": "CONTACT-QUEUED"}))
    )
    assert query("SELECT settled_count, window_opened_at FROM conversations") == [(2, None)]
    intake(deliver(said("hello", after_ms=2)))
    clock.seconds += 1.9
    intake(deliver(routed("WRAPUP", after_ms=3)))
    clock.seconds += 0.2
    assert make_settler().settle_windows() == 1
    assert query("SELECT settled_count, window_opened_at FROM conversations") == [(4, None)]
    intake(deliver(routed("ROUTED", after_ms=4)))
    assert query("SELECT settled_count, window_opened_at IS NULL FROM conversations") == [(4, False)]


def test_a_receipt_is_sent_without_waiting_for_a_window(intake, query):
    intake(deliver(payload_of("genesys/receipt-published")))
    assert query(OUTBOX)[1][0] == "openmessaging:receipt"


def test_several_settlers_settle_each_window_once(intake, make_settler, clock, query):
    intake(*[deliver(said("a", conversation=f"c-{number}")) for number in range(60)])
    clock.seconds += 2.1

    def work(_number=0):
        settler = make_settler()
        return sum(iter(settler.settle_windows, 0))

    with ThreadPoolExecutor(4) as pool:
        settled = [*pool.map(work, range(4)), work()]
    assert sum(settled) == 60
    counts = "SELECT count(*), count(DISTINCT conversation_id) FROM outbox WHERE event_id IS NOT NULL"
    assert query(counts) == [(60, 60)]
