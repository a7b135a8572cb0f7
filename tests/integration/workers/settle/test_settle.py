"""What settling leaves in the database, on PostgreSQL and on SQLite."""

import itertools
import threading
from collections import Counter
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import event as engine_event

from simulator.platform import Conversation, Participant
from tests.integration.workers.conftest import CLIENT_SECRET
from tests.integration.workers.events import deliver, event, payload_of, routed, said
from tests.integration.workers.moved_clock import MovedClock
from workers.genesys import (
    ConversationStates,
    GenesysClient,
    GenesysSettings,
    PlatformRefusedError,
    PlatformState,
    PlatformUnavailableError,
)
from workers.intake.intake import Intake
from workers.parsing import ALERTING
from workers.parsing.events import QUEUED, ROUTED
from workers.settle import Settler
from workers.settle.settler import LEASE_SECONDS
from workers.tables import WindowBounds

LEAST_EXAMPLES = 200
"""Of interleavings; more where the profile says so."""

WINDOW = WindowBounds()
OUTBOX = "SELECT event_type, event_id, late FROM outbox ORDER BY id"


class KilledError(BaseException):
    """The process ends, before its commit or while it asks."""


class Platform:
    """What the platform says, by conversation; an exception is raised."""

    def __init__(self, **said):
        self.said = said
        self.asked = []

    def of(self, conversation_id, **_event):
        self.asked.append(conversation_id)
        answer = self.said[conversation_id.replace("-", "_")]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock():
    return MovedClock()


class QueuedAtThePlatform:
    """A platform that has every conversation in a routing queue."""

    def of(self, _conversation_id, **_event):
        return PlatformState(QUEUED)


@pytest.fixture
def intake(engine, handlers, clock):
    worker = Intake(engine, handlers, clock, window=WINDOW)
    return lambda *deliveries: worker.process(deliveries)


@pytest.fixture
def make_settler(engine, clock):
    return lambda states=None: Settler(engine, clock, window=WINDOW, states=states)


def types(query):
    return [event_type.rpartition(":")[2] for event_type, *_ in query(OUTBOX)]


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


def test_a_conversation_that_never_pauses_is_settled_at_the_limit(intake, make_settler, clock, query):
    settler = make_settler()
    for number in range(11):
        intake(deliver(said(str(number), after_ms=number)))
        assert settler.settle_windows() == (number == 10)
        clock.seconds += 1.0
    assert query("SELECT settled_count FROM conversations") == [(11,)]


def test_a_session_is_told_of_at_once_and_its_content_after_it(intake, make_settler, clock, query):
    intake(deliver(said("early", after_ms=5)), deliver(event("new")))
    assert types(query) == ["new"]
    clock.seconds += 2.1
    make_settler().settle_windows()
    assert types(query) == ["new", "message"]


def test_a_session_notified_after_its_content_is_late_and_not_repeated(intake, make_settler, clock, query):
    intake(deliver(said("a", after_ms=5)))
    clock.seconds += 2.1
    make_settler().settle_windows()
    intake(deliver(event("new")))
    assert [
        (kind.rpartition(":")[2], event_id is None, bool(late)) for kind, event_id, late in query(OUTBOX)
    ] == [
        ("new", True, False),
        ("message", False, False),
        ("new", False, True),
    ]


def test_what_waits_for_no_window_counts_as_settled_at_once(intake, make_settler, clock, query):
    counts = "SELECT event_count, settled_count FROM conversations ORDER BY conversation_id"
    intake(deliver(event("new")), deliver(said("a", conversation="c-2")))
    assert query(counts) == [(1, 1), (1, 0)]
    clock.seconds += 2.1
    make_settler().settle_windows()
    intake(deliver(event("new", conversation="c-2")), deliver(said("b", after_ms=1)))
    assert query(counts) == [(2, 1), (2, 2)]
    intake(deliver(event("new", after_ms=2)))
    assert query(counts) == [(3, 1), (2, 2)]
    clock.seconds += 2.1
    make_settler().settle_windows()
    assert query(counts) == [(3, 3), (2, 2)]


def test_an_update_that_is_no_transition_opens_and_prolongs_no_window(intake, make_settler, clock, query):
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


def test_disordered_messages_are_told_in_the_platforms_order(intake, make_settler, clock, query):
    intake(deliver(said("third", after_ms=9)))
    intake(deliver(said("second", after_ms=5, sequence=2)), deliver(said("first", after_ms=5, sequence=1)))
    clock.seconds += 2.1
    make_settler().settle_windows()
    told = query(
        "SELECT m.text FROM outbox o JOIN conversation_messages m ON m.event_id = o.event_id ORDER BY o.id"
    )
    assert told == [("first",), ("second",), ("third",)]


def test_a_late_message_is_marked_and_nothing_is_settled_twice(intake, make_settler, clock, query):
    settler = make_settler()
    intake(deliver(said("b", after_ms=50)))
    clock.seconds += 2.1
    settler.settle_windows()
    intake(deliver(said("a", after_ms=10)))
    clock.seconds += 2.1
    settler.settle_windows()
    assert [bool(late) for _, _, late in query(OUTBOX)] == [False, False, True]
    assert query("SELECT settled_count FROM conversations") == [(2,)]


def test_receipts_wait_for_no_window(intake, query):
    intake(deliver(payload_of("genesys/receipt-published")))
    assert query(OUTBOX)[1][0] == "openmessaging:receipt"


def test_the_newest_update_stands_whatever_came_when(intake, make_settler, clock, query):
    settler = make_settler()
    for status, at in (("QUEUED", 10), ("QUEUED", 30), ("ROUTED", 20)):
        intake(deliver(routed(status, after_ms=at)))
        clock.seconds += 2.1
        settler.settle_windows()
    [(status, changed)] = query("SELECT routing_status, routing_changed_at FROM conversations")
    assert (status, str(changed)[17:23]) == ("CONTACT-QUEUED", "10.030")
    decisions = query("SELECT decision, verified FROM routing_updates ORDER BY occurred_at")
    assert decisions == [("applied", None), ("late", None), ("applied", None)]


def test_an_update_is_applied_where_the_platform_agrees_and_the_row_says_so(
    intake, make_settler, clock, query
):
    settler = make_settler(Platform(c_1=PlatformState(ALERTING)))
    intake(deliver(routed("ROUTED")))
    assert settler.settle_updates() == 1
    assert settler.settle_updates() == 0
    assert types(query) == []
    clock.seconds += 2.1
    settler.settle_windows()
    assert types(query) == ["new", "updated"]
    assert [bool(each) for (each,) in query("SELECT verified FROM outbox WHERE event_id IS NOT NULL")] == [
        True
    ]
    assert query("SELECT routing_status FROM conversations") == [(ROUTED,)]


def test_an_update_is_told_in_its_place_among_what_came_with_it(intake, make_settler, clock, query):
    settler = make_settler(Platform(c_1=PlatformState(QUEUED)))
    intake(deliver(said("b", after_ms=3)), deliver(routed("QUEUED", after_ms=2)))
    settler.settle_updates()
    intake(deliver(said("a", after_ms=1)))
    clock.seconds += 2.1
    settler.settle_windows()
    assert types(query) == ["new", "message", "updated", "message"]
    assert [bool(late) for _, _, late in query(OUTBOX)] == [False] * 4


def test_an_answer_that_comes_after_its_window_settles_the_update_alone(intake, make_settler, clock, query):
    settler = make_settler(Platform(c_1=PlatformState(QUEUED)))
    intake(deliver(routed("QUEUED", after_ms=2)), deliver(said("b", after_ms=3)))
    clock.seconds += 2.1
    settler.settle_windows()
    assert types(query) == ["new", "message"]
    settler.settle_updates()
    assert [(kind.rpartition(":")[2], bool(late)) for kind, _, late in query(OUTBOX)][2:] == [
        ("updated", True)
    ]


def test_an_update_that_the_platform_contradicts_is_superseded_with_its_word(
    intake, make_settler, clock, query
):
    settler = make_settler(Platform(c_1=PlatformState(QUEUED)))
    intake(deliver(routed("ROUTED")))
    settler.settle_updates()
    clock.seconds += 2.1
    settler.settle_windows()
    assert query("SELECT decision, platform_status FROM routing_updates") == [("superseded", QUEUED)]
    assert query("SELECT outcome, reason FROM processed_events") == [("skipped", "superseded")]
    assert query("SELECT routing_status FROM conversations") == [(None,)]
    assert types(query) == []


@pytest.fixture
def states(platform_url):
    """Ask the simulated platform."""
    return ConversationStates(
        GenesysClient(GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET), budget=None)
    )


def contact(*others):
    return Conversation("c-1", "2024-05-15T14:32:00.000Z", participants=[Participant("customer"), *others])


IN_A_QUEUE, WITH_AN_AGENT = Participant("acd", queue_id="queue-1"), Participant("agent", user_id="agent-1")
DECISIONS = "SELECT decision FROM routing_updates ORDER BY occurred_at"


def test_an_answer_from_before_an_update_does_not_supersede_it(  # noqa: PLR0917  # fixtures
    intake, make_settler, clock, query, organisation, states
):
    settler = make_settler(states)
    for status, at, other in (
        ("QUEUED", 1, IN_A_QUEUE),
        ("ROUTED", 2, WITH_AN_AGENT),
        ("QUEUED", 3, IN_A_QUEUE),
    ):
        organisation.put(contact(other))
        intake(deliver(routed(status, after_ms=at)))
        settler.settle_updates()
    clock.seconds += 2.1
    settler.settle_windows()
    assert query(DECISIONS) == [("applied",)] * 3
    assert query("SELECT routing_status FROM conversations") == [(QUEUED,)]
    assert len(organisation.requests) == 3


def test_updates_that_came_before_the_platform_was_asked_share_its_answer(
    intake, make_settler, query, organisation, states
):
    settler = make_settler(states)
    organisation.put(contact(WITH_AN_AGENT))
    intake(*[deliver(routed("QUEUED", after_ms=at)) for at in range(5)])
    intake(deliver(routed("ROUTED", after_ms=9)))
    while settler.settle_updates():
        pass
    verified = query("SELECT verified FROM routing_updates ORDER BY occurred_at")
    assert [bool(each) for (each,) in verified] == [False] * 5 + [True]
    assert len(organisation.requests) == 1


def test_updates_that_a_remembered_answer_bears_out_are_not_asked_about(
    intake, make_settler, query, organisation, states
):
    settler = make_settler(states)
    organisation.put(contact(IN_A_QUEUE))
    for at in range(3):
        intake(deliver(routed("QUEUED", after_ms=at)))
        settler.settle_updates()
    assert query("SELECT count(*) FROM routing_updates WHERE verified") == [(3,)]
    assert len(organisation.requests) == 1


def test_while_the_platform_is_away_an_update_waits_and_content_goes_on(intake, make_settler, clock, query):
    platform = Platform(c_1=PlatformUnavailableError("away", delay=5.0), c_2=PlatformState(QUEUED))
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")), deliver(said("hello", after_ms=1)))
    intake(deliver(routed("QUEUED", conversation="c-2", after_ms=2)))
    assert [settler.settle_updates(), settler.settle_updates()] == [0, 1]
    clock.seconds += 2.1
    settler.settle_windows()
    assert query("SELECT decision FROM routing_updates ORDER BY event_id") == [(None,), ("applied",)]
    assert "message" in types(query)
    assert settler.settle_updates() == 0
    platform.said["c_1"] = PlatformState(QUEUED)
    clock.seconds += 3.0
    assert settler.settle_updates() == 1
    assert query("SELECT decision FROM routing_updates ORDER BY event_id") == [("applied",), ("applied",)]


def test_a_platform_that_refuses_us_ends_no_settling(intake, make_settler, clock, query):
    platform = Platform(c_1=PlatformRefusedError(403, "missing.permissions", "an-id"))
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")), deliver(said("hello", after_ms=1)))
    assert settler.settle_updates() == 0
    clock.seconds += 2.1
    assert settler.settle_windows() == 1
    assert "message" in types(query)
    assert query("SELECT decision FROM routing_updates") == [(None,)]
    platform.said["c_1"] = PlatformState(QUEUED)
    clock.seconds += 60.0
    assert settler.settle_updates() == 1


@pytest.mark.parametrize(
    ("refusal", "asked"),
    [
        (PlatformRefusedError(403, "missing.division.permission", "an-id"), 13),
        (PlatformRefusedError(401, "bad.credentials", "an-id"), 24 * 60),
    ],
)
def test_a_day_of_refusals_costs_few_requests_unless_they_are_of_our_credentials(
    intake, make_settler, clock, refusal, asked
):
    platform = Platform(c_1=refusal)
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")))
    for _ in range(24 * 60):
        settler.settle_updates()
        clock.seconds += 60.0
    assert len(platform.asked) == asked


def test_what_waits_is_applied_as_notified_once_nobody_is_asked_any_more(intake, make_settler, clock, query):
    asking = make_settler(
        Platform(c_1=PlatformUnavailableError("away"), c_2=PlatformUnavailableError("away"))
    )
    intake(deliver(routed("QUEUED", after_ms=1)), deliver(said("hello", after_ms=2)))
    asking.settle_updates()
    clock.seconds += 2.1
    asking.settle_windows()
    settler = make_settler()
    intake(deliver(routed("QUEUED", conversation="c-2")))
    assert [settler.settle_updates(), settler.settle_updates()] == [1, 0]
    clock.seconds += 2.1
    assert settler.settle_windows() == 2
    decisions = "SELECT decision, verified, next_attempt_at FROM routing_updates ORDER BY event_id"
    assert query(decisions) == [("applied", None, None)] * 2
    state = "SELECT routing_status, settled_count, event_count, window_from_at FROM conversations"
    assert query(f"{state} WHERE conversation_id = 'c-1'") == [(QUEUED, 2, 2, None)]
    told = "SELECT event_type, event_id, late FROM outbox WHERE conversation_id = 'c-1' ORDER BY id"
    assert [(kind.rpartition(":")[2], bool(late)) for kind, _, late in query(told)] == [
        ("new", False),
        ("message", False),
        ("updated", True),
    ]


def test_an_update_whose_process_was_killed_while_it_asked_is_taken_up_again(
    intake, make_settler, clock, query
):
    platform = Platform()
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")))

    platform.of = lambda _conversation, **_event: (_ for _ in ()).throw(KilledError)
    with pytest.raises(KilledError):
        settler.settle_updates()
    assert settler.settle_updates() == 0
    clock.seconds += 31.0
    assert make_settler(Platform(c_1=PlatformState(QUEUED))).settle_updates() == 1


def test_several_settlers_settle_each_window_once(intake, make_settler, clock, query):
    for number in range(60):
        intake(deliver(said("a", conversation=f"c-{number}")))
    clock.seconds += 2.1
    settled = []

    def work():
        settler = make_settler()
        while count := settler.settle_windows():
            settled.append(count)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    while count := make_settler().settle_windows():
        settled.append(count)
    assert sum(settled) == 60
    assert query(
        "SELECT count(*), count(DISTINCT conversation_id) FROM outbox WHERE event_id IS NOT NULL"
    ) == [(60, 60)]


@pytest.fixture
def unsynced(engine):
    """Leave out the disk's flush, a third of the time of thousands of examples; none of them is about it."""
    if engine.dialect.name == "sqlite":
        engine_event.listen(engine, "connect", lambda connection, _: connection.execute(NO_FLUSH))


NO_FLUSH = "PRAGMA synchronous = OFF"
NUMBERS = itertools.count()
KINDS = st.sampled_from(["new", "a", "b", "QUEUED", "ROUTED"])
EVENTS = st.lists(st.tuples(KINDS, st.integers(0, 40)), min_size=1, max_size=7, unique=True)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.lists(st.integers(0, 6), min_size=1, max_size=4), st.booleans()),
        st.tuples(st.just("settle"), st.just([]), st.booleans()),
        st.tuples(st.just("ask"), st.just([]), st.booleans()),
        st.tuples(st.just("wait"), st.just([]), st.just(False)),
    ),
    max_size=10,
)


def payload_for(conversation, kind, at):
    if kind == "new":
        return event("new", conversation=conversation, after_ms=at)
    if kind in {"a", "b"}:
        return said(kind, conversation=conversation, after_ms=at)
    return routed(kind, conversation=conversation, after_ms=at)


@settings(
    max_examples=max(LEAST_EXAMPLES, settings.default.max_examples),
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(EVENTS, STEPS, st.booleans())
def test_any_interleaving_duplication_delay_and_crash_ends_in_the_same_state(  # noqa: PLR0917  # fixtures and examples
    intake, make_settler, clock, query, engine, unsynced, events, steps, has_platform
):
    """Have one conversation go through the steps, and another come whole, in order, in one piece."""
    crashing = []

    def crash(_connection):
        if crashing:
            raise KilledError

    number = next(NUMBERS)
    bodies = [payload_for(f"p-{number}", kind, at) for kind, at in events]
    whole = [payload_for(f"q-{number}", kind, at) for kind, at in events]
    settler = make_settler(QueuedAtThePlatform() if has_platform else None)

    def take(word, payloads):
        if word == "deliver":
            intake(*[deliver(each) for each in payloads])
        elif word == "settle":
            settler.settle_windows()
        elif word == "ask":
            while settler.settle_updates():
                pass
        else:
            clock.seconds += 2.1

    engine_event.listen(engine, "commit", crash)
    try:
        for word, numbers, crashes in steps:
            crashing[:] = [True] if crashes else []
            with suppress(KilledError):
                take(word, [bodies[each % len(bodies)] for each in numbers])
        crashing.clear()
        clock.seconds += LEASE_SECONDS
        for word in ("deliver", "ask", "wait", "settle", "ask"):
            take(word, [*bodies, *whole])
    finally:
        engine_event.remove(engine, "commit", crash)
    assert state_of(query, f"p-{number}") == state_of(query, f"q-{number}")


def state_of(query, conversation):
    [row] = query(
        "SELECT status, routing_status, routing_queue, routing_changed_at, event_count, message_count,"
        " first_event_at, last_event_at, event_count - settled_count, window_opened_at,"
        " session_opened_at IS NULL"
        " FROM conversations WHERE conversation_id = :id",
        id=conversation,
    )
    told = query(
        "SELECT e.event_type, e.occurred_at, count(*)"
        " FROM outbox o JOIN processed_events e ON e.id = o.event_id"
        " WHERE o.conversation_id = :id GROUP BY e.event_type, e.occurred_at ORDER BY 1, 2",
        id=conversation,
    )
    implied = query(
        "SELECT count(*) FROM outbox WHERE conversation_id = :id AND event_id IS NULL", id=conversation
    )
    assert implied[0][0] <= 1
    return row, Counter(told)
