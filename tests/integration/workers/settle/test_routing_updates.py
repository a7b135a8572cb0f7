"""Routing updates are verified against the platform's state, on PostgreSQL and on SQLite."""

import pytest
from sqlalchemy import event as engine_event
from sqlalchemy import text

from simulator.platform import Conversation, Fault, Participant
from tests.integration.workers.conftest import CLIENT_SECRET, ON_POSTGRESQL
from tests.integration.workers.events import deliver, routed, said
from tests.integration.workers.settle.conftest import OUTBOX, KilledError, Platform, types
from workers.genesys import (
    ConversationStates,
    GenesysClient,
    GenesysSettings,
    PlatformBusyError,
    PlatformRefusedError,
    PlatformState,
    PlatformUnavailableError,
)
from workers.parsing import ALERTING
from workers.parsing.events import QUEUED, ROUTED

DECISIONS = "SELECT decision FROM routing_updates ORDER BY occurred_at"


def test_the_newest_update_is_applied_in_any_order_of_arrival(intake, make_settler, clock, query):
    settler = make_settler()
    for status, at in (("QUEUED", 10), ("QUEUED", 30), ("ROUTED", 20)):
        intake(deliver(routed(status, after_ms=at)))
        clock.seconds += 2.1
        settler.settle_windows()
    [(status, changed)] = query("SELECT routing_status, routing_changed_at FROM conversations")
    assert (status, str(changed)[17:23]) == ("CONTACT-QUEUED", "10.030")
    decisions = query("SELECT decision, verified FROM routing_updates ORDER BY occurred_at")
    assert decisions == [("applied", None), ("late", None), ("applied", None)]


def test_an_update_is_applied_and_marked_as_verified_if_the_platform_agrees(
    intake, make_settler, clock, query
):
    settler = make_settler(Platform(c_1=PlatformState(ALERTING)))
    intake(deliver(routed("ROUTED")))
    assert settler.settle_updates() == 1
    assert settler.settle_updates() == 0
    assert types(query) == []
    settler.settle_closed()
    assert types(query) == ["new", "updated"]
    assert query("SELECT verified FROM outbox WHERE event_id IS NOT NULL") == [(True,)]
    assert query("SELECT routing_status FROM conversations") == [(ROUTED,)]


def test_a_verified_update_is_sent_in_order_within_its_window(intake, make_settler, clock, query):
    settler = make_settler(Platform(c_1=PlatformState(QUEUED)))
    intake(deliver(said("b", after_ms=3)), deliver(routed("QUEUED", after_ms=2)))
    settler.settle_updates()
    intake(deliver(said("a", after_ms=1)))
    settler.settle_closed()
    assert types(query) == ["new", "message", "updated", "message"]
    assert [bool(late) for _, _, late in query(OUTBOX)] == [False] * 4


def test_an_update_that_is_verified_after_its_window_is_sent_late(intake, make_settler, clock, query):
    settler = make_settler(Platform(c_1=PlatformState(QUEUED)))
    intake(deliver(routed("QUEUED", after_ms=2)), deliver(said("b", after_ms=3)))
    settler.settle_closed()
    assert types(query) == ["new", "message"]
    settler.settle_updates()
    assert types(query) == ["new", "message", "updated"]
    assert [bool(late) for _, _, late in query(OUTBOX)] == [False, False, True]


def test_an_update_that_the_platform_contradicts_for_five_seconds_is_superseded(
    intake, make_settler, clock, query
):
    platform = Platform(c_1=PlatformState(QUEUED))
    settler = make_settler(platform)
    intake(deliver(routed("ROUTED")))
    for _ in range(5):
        settler.settle_updates()
        assert query(DECISIONS) == [(None,)]
        clock.seconds += 1.0
    settler.settle_updates()
    assert query("SELECT decision, platform_status FROM routing_updates") == [("superseded", QUEUED)]
    assert query("SELECT outcome, reason FROM processed_events") == [("skipped", "superseded")]
    assert len(platform.asked) == 3
    settler.settle_windows()
    assert query("SELECT routing_status FROM conversations") == [(None,)]
    assert types(query) == []


@pytest.mark.parametrize("behind", [PlatformState(QUEUED), None])
def test_no_update_is_superseded_while_the_api_lags_behind_its_notifications(
    intake, make_settler, clock, query, behind
):
    """Guarantee 7.12."""
    platform = Platform(c_1=behind)
    settler = make_settler(platform)
    intake(deliver(routed("ROUTED")))
    settler.settle_updates()
    clock.seconds += 3.0
    platform.said["c_1"] = PlatformState(ROUTED)
    settler.settle_updates()
    settler.settle_windows()
    assert query(DECISIONS) == [("applied",)]
    assert types(query) == ["new", "updated"]


@pytest.fixture
def settler(make_settler, platform_url, clock):
    """A settler that requests the states of conversations from the simulated platform."""
    settings = GenesysSettings(platform_url, platform_url, "client", CLIENT_SECRET)
    return make_settler(ConversationStates(GenesysClient(settings, budget=None), clock.monotonic))


def contact(*others):
    return Conversation("c-1", "2024-05-15T14:32:00.000Z", participants=[Participant("customer"), *others])


IN_A_QUEUE, WITH_AN_AGENT = Participant("acd", queue_id="queue-1"), Participant("agent", user_id="agent-1")


def test_an_answer_older_than_an_update_does_not_supersede_it(intake, settler, query, organisation):
    states_told = (("QUEUED", IN_A_QUEUE), ("ROUTED", WITH_AN_AGENT), ("QUEUED", IN_A_QUEUE))
    for at, (status, other) in enumerate(states_told):
        organisation.put(contact(other))
        intake(deliver(routed(status, after_ms=at)))
        settler.settle_updates()
    settler.settle_closed()
    assert query(DECISIONS) == [("applied",)] * 3
    assert query("SELECT routing_status FROM conversations") == [(QUEUED,)]
    assert len(organisation.requests) == 3


def test_after_a_lagging_answer_no_update_is_verified_within_five_seconds(intake, make_settler, clock):
    platform = Platform(c_1=PlatformState(QUEUED), c_2=PlatformState(ROUTED))
    settler = make_settler(platform)
    intake(deliver(routed("ROUTED")))
    settler.settle_updates()
    clock.seconds += 3.0
    platform.said["c_1"] = PlatformState(ROUTED)
    settler.settle_updates()
    intake(deliver(routed("ROUTED", conversation="c-2")))
    clock.seconds += 4.9
    assert settler.settle_updates() == 0
    clock.seconds += 0.2
    assert settler.settle_updates() == 1
    assert platform.asked == ["c-1", "c-1", "c-2"]


def test_all_waiting_updates_of_a_conversation_share_one_request(intake, settler, clock, query, organisation):
    organisation.put(contact(WITH_AN_AGENT))
    intake(*[deliver(routed("QUEUED", after_ms=at)) for at in range(5)])
    intake(deliver(routed("ROUTED", after_ms=9)))
    clock.seconds += 6.0
    while settler.settle_updates():
        pass
    settler.settle_windows()
    assert query(DECISIONS) == [("superseded",)] * 5 + [("applied",)]
    assert len(organisation.requests) == 1


def test_a_cached_answer_does_not_contradict_a_newer_update(intake, settler, clock, query, organisation):
    organisation.put(contact(IN_A_QUEUE))
    intake(deliver(routed("ROUTED", after_ms=1)))
    settler.settle_updates()
    organisation.put(contact(WITH_AN_AGENT))
    clock.seconds += 6.0
    intake(deliver(routed("QUEUED", after_ms=2)))
    settler.settle_updates()
    assert len(organisation.requests) == 2
    settler.settle_closed()
    assert query(DECISIONS) == [("applied",), (None,)]


def test_the_newest_update_is_verified_first(intake, make_settler, clock):
    platform = Platform(**{f"c_{number}": PlatformState(QUEUED) for number in range(5)})
    for number in range(5):
        intake(deliver(routed("QUEUED", conversation=f"c-{number}")))
        clock.seconds += 0.1
    settler = make_settler(platform)
    while settler.settle_updates():
        pass
    assert platform.asked == ["c-4", "c-3", "c-2", "c-1", "c-0"]


def test_updates_wait_for_an_unavailable_platform_but_messages_do_not(intake, make_settler, clock, query):
    platform = Platform(c_1=PlatformUnavailableError("away", delay=5.0), c_2=PlatformState(QUEUED))
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")), deliver(said("hello", after_ms=1)))
    intake(deliver(routed("QUEUED", conversation="c-2", after_ms=2)))
    assert [settler.settle_updates(), settler.settle_updates()] == [1, 0]
    settler.settle_closed()
    assert query("SELECT decision FROM routing_updates ORDER BY event_id") == [(None,), ("applied",)]
    assert "message" in types(query)
    assert settler.settle_updates() == 0
    platform.said["c_1"] = PlatformState(QUEUED)
    clock.seconds += 4.0
    assert settler.settle_updates() == 1
    assert query("SELECT decision FROM routing_updates ORDER BY event_id") == [("applied",), ("applied",)]


def test_settling_continues_while_the_platform_refuses_the_credentials(intake, make_settler, clock, query):
    platform = Platform(c_1=PlatformRefusedError(401, "bad.credentials", "an-id"))
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")), deliver(said("hello", after_ms=1)))
    assert settler.settle_updates() == 0
    assert settler.settle_closed() == 1
    assert "message" in types(query)
    for _ in range(50):
        assert settler.settle_updates() == 0
        clock.seconds += 1.0
    assert len(platform.asked) == 1
    platform.said["c_1"] = PlatformState(QUEUED)
    clock.seconds += 10.0
    assert settler.settle_updates() == 1
    assert query(DECISIONS) == [("applied",)]


def test_updates_answered_403_end_undecided_after_few_requests(intake, settler, clock, query, organisation):
    organisation.inject_fault(Fault(403, times=1000, is_carried_out=True))
    organisation.put(contact(IN_A_QUEUE))
    for at in range(12):
        intake(deliver(routed("QUEUED", after_ms=at)))
        for _ in range(50):
            clock.seconds += 1.0
            settler.settle_updates()
            settler.settle_windows()
            settler.end_updates()
    assert len(organisation.requests) <= 3
    assert query(DECISIONS)[0] == ("undecided",)
    assert query("SELECT outcome, reason FROM processed_events ORDER BY id")[0] == ("skipped", "undecided")
    clock.seconds += 600.0
    settler.end_updates()
    assert query("SELECT count(*) FROM routing_updates WHERE decision IS NULL") == [(0,)]
    assert types(query) == []
    assert settler.figures() == {"undecided": 12, "unverified": 0}


@pytest.mark.parametrize("window_is_open", [True, False])
def test_an_unverified_update_is_applied_if_so_configured(intake, make_settler, clock, query, window_is_open):
    platform = Platform(c_1=PlatformUnavailableError("away"))
    settler = make_settler(platform, end_seconds=60.0, applies_unverified=True)
    intake(deliver(routed("QUEUED")))
    settler.settle_updates()
    clock.seconds += 59.0
    settler.settle_windows()
    settler.end_updates()
    assert query(DECISIONS) == [(None,)]
    clock.seconds += 1.0
    if window_is_open:
        intake(deliver(said("hello", after_ms=1)))
    settler.end_updates()
    clock.seconds += 3.0
    settler.settle_windows()
    assert query("SELECT decision, verified FROM routing_updates") == [("applied", False)]
    assert query("SELECT verified FROM outbox WHERE event_type LIKE '%updated'") == [(False,)]
    assert settler.figures()["unverified"] == 1


def test_nothing_is_written_while_the_request_budget_is_exhausted(intake, make_settler, clock, query, engine):
    names = [f"c_{number}" for number in range(300)]
    platform = Platform(**dict.fromkeys(names, PlatformBusyError("none left", delay=30.0)))
    settler = make_settler(platform)
    intake(*[deliver(routed("QUEUED", conversation=name.replace("_", "-"))) for name in names])
    settler.settle_updates()
    commits = []
    engine_event.listen(engine, "commit", commits.append)
    for _ in range(290):
        settler.settle_updates()
        clock.seconds += 0.1
    assert (commits, len(platform.asked)) == ([], 1)
    platform.said = dict.fromkeys(names, PlatformState(QUEUED))
    clock.seconds += 5.0
    while settler.settle_updates():
        pass
    assert query("SELECT count(*) FROM routing_updates WHERE verified") == [(300,)]


def test_waiting_updates_are_applied_once_no_platform_is_configured(intake, make_settler, clock, query):
    asking = make_settler(Platform(c_1=PlatformUnavailableError("away")))
    intake(deliver(routed("QUEUED", after_ms=1)), deliver(said("hello", after_ms=2)))
    asking.settle_updates()
    asking.settle_closed()
    settler = make_settler(end_seconds=10.0)
    intake(deliver(routed("QUEUED", conversation="c-2")))
    assert settler.settle_closed() == 1
    clock.seconds += 10.0
    settler.end_updates()
    decisions = "SELECT decision, verified, next_attempt_at FROM routing_updates ORDER BY event_id"
    assert query(decisions) == [("applied", None, None)] * 2
    state = "SELECT routing_status, settled_count, event_count, window_from_at FROM conversations"
    assert query(f"{state} WHERE conversation_id = 'c-1'") == [(QUEUED, 2, 2, None)]
    told = query("SELECT event_type, late FROM outbox WHERE conversation_id = 'c-1' ORDER BY id")
    kinds = [(kind.rpartition(":")[2], bool(late)) for kind, late in told]
    assert kinds == [("new", False), ("message", False), ("updated", True)]


def test_an_update_is_verified_again_after_its_process_was_killed(intake, make_settler, clock, query):
    platform = Platform()
    settler = make_settler(platform)
    intake(deliver(routed("QUEUED")))
    platform.find = lambda *_: (_ for _ in ()).throw(KilledError)
    with pytest.raises(KilledError):
        settler.settle_updates()
    assert settler.settle_updates() == 0
    clock.seconds += 61.0
    assert make_settler(Platform(c_1=PlatformState(QUEUED))).settle_updates() == 1


@ON_POSTGRESQL
def test_a_locked_conversation_does_not_delay_updates_of_others(engine, intake, make_settler, clock, query):
    intake(deliver(routed("QUEUED", conversation="c-old")))
    clock.seconds += 1.0
    intake(deliver(routed("QUEUED", conversation="c-new")))
    settler = make_settler(Platform(c_old=PlatformState(QUEUED), c_new=PlatformState(QUEUED)))
    verified = "SELECT conversation_id FROM routing_updates WHERE verified ORDER BY event_id"
    with engine.begin() as connection:
        connection.execute(text("SELECT * FROM conversations WHERE conversation_id = 'c-new' FOR UPDATE"))
        assert [settler.settle_updates(), settler.settle_updates()] == [1, 0]
        assert query(verified) == [("c-old",)]
    assert settler.settle_updates() == 1
    assert query(verified) == [("c-old",), ("c-new",)]
