"""The events of a closed window are settled in order and written to the outbox, on PostgreSQL and SQLite."""

from concurrent.futures import ThreadPoolExecutor

from tests.integration.workers.events import deliver, event, payload_of, routed, said
from tests.integration.workers.settle.platforms import OUTBOX, types


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
    assert query("SELECT settled_count, window_opened_at, window_closes_at FROM conversations") == [
        (2, None, None)
    ]
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


def test_an_update_without_a_transition_neither_opens_nor_extends_a_window(
    intake, make_settler, clock, query
):
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


def test_messages_received_out_of_order_are_sent_in_the_platforms_order(intake, make_settler, clock, query):
    intake(deliver(said("third", after_ms=9)))
    intake(deliver(said("second", after_ms=5, sequence=2)), deliver(said("first", after_ms=5, sequence=1)))
    make_settler().settle_closed()
    told = query(
        "SELECT m.text FROM outbox o JOIN conversation_messages m ON m.event_id = o.event_id ORDER BY o.id"
    )
    assert told == [("first",), ("second",), ("third",)]


def test_a_late_message_is_marked_and_no_event_is_settled_twice(intake, make_settler, clock, query):
    settler = make_settler()
    intake(deliver(said("b", after_ms=50)))
    settler.settle_closed()
    intake(deliver(said("a", after_ms=10)))
    settler.settle_closed()
    assert [bool(late) for _, _, late in query(OUTBOX)] == [False, False, True]
    assert query("SELECT settled_count FROM conversations") == [(2,)]


def test_a_receipt_is_sent_without_waiting_for_a_window(intake, query):
    intake(deliver(payload_of("genesys/receipt-published")))
    assert query(OUTBOX)[1][0] == "openmessaging:receipt"


def test_several_settlers_settle_each_window_once(intake, make_settler, clock, query):
    for number in range(60):
        intake(deliver(said("a", conversation=f"c-{number}")))
    clock.seconds += 2.1

    def work(_number=0):
        settler = make_settler()
        return sum(iter(settler.settle_windows, 0))

    with ThreadPoolExecutor(4) as pool:
        settled = [*pool.map(work, range(4)), work()]
    assert sum(settled) == 60
    assert query(
        "SELECT count(*), count(DISTINCT conversation_id) FROM outbox WHERE event_id IS NOT NULL"
    ) == [(60, 60)]
