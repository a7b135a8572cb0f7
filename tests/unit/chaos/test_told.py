"""What the service behind was told is held against what it should have been told."""

import json

import pytest

from simulator.receiver import ReceivedEvent
from tests.chaos.told import TellTale, tell_tale
from tests.stand.ledger import digest_of

SECOND = "2026-03-01T08:00:0{}.000000+00:00"


def body(kind, number, **more):
    event = {"conversationId": "c-1", "eventType": f"openmessaging:conversation:{kind}", "number": number}
    return json.dumps(event | more).encode()


def told(payload, sequence, *, webhook_id="", second=None, late=False):
    content = {"timestamp": SECOND.format(sequence if second is None else second)}
    raw = b'{"type":"x","data":' + payload + b"}"
    return ReceivedEvent("crm", webhook_id or f"msg_{sequence}", "x", "c-1", sequence, late, content, raw)


NEW, FIRST, SECOND_MESSAGE = body("new", 1), body("message", 2), body("message", 3)
QUEUED = body("updated", 4, routing={"status": "CONTACT-QUEUED"})
WAITING, AGENT = {"c-1": {"acd"}}, {"c-1": {"agent"}}


def test_all_that_was_told_once_and_in_order_is_clean():
    taken = [told(NEW, 1), told(FIRST, 2), told(QUEUED, 3), told(FIRST, 2)]
    assert tell_tale([NEW, FIRST, QUEUED], taken, WAITING, set()) == TellTale(0, 0, "")


def test_what_was_never_told_is_lost():
    assert tell_tale([NEW, FIRST], [told(NEW, 1)], {}, set()).lost == 1


def test_what_was_told_under_two_ids_is_repeated():
    assert tell_tale([FIRST], [told(FIRST, 1), told(FIRST, 2)], {}, set()).repeated == 1


def test_a_session_that_nobody_notified_is_told_of_once():
    twice = [told(b"null", 1), told(b"null", 2)]
    assert tell_tale([], twice[:1], {}, set()).repeated == 0
    assert tell_tale([], twice, {}, set()).repeated == 1


@pytest.mark.parametrize(
    ("taken", "words"),
    [
        ([told(FIRST, 2), told(SECOND_MESSAGE, 1)], "out of order"),
        ([told(FIRST, 1, second=5), told(SECOND_MESSAGE, 2, second=3)], "out of order"),
        ([told(FIRST, 1), told(SECOND_MESSAGE, 2, webhook_id="msg_1")], "two events"),
    ],
)
def test_what_a_receiver_may_not_meet_is_told(taken, words):
    assert words in tell_tale([FIRST, SECOND_MESSAGE], taken, {}, set()).complaint


def test_what_is_marked_late_may_be_older_than_what_came_before():
    taken = [told(FIRST, 1, second=5), told(SECOND_MESSAGE, 2, second=3, late=True)]
    assert tell_tale([FIRST, SECOND_MESSAGE], taken, {}, set()) == TellTale(0, 0, "")


def test_an_update_that_the_platform_contradicts_is_on_record_and_not_told():
    assert tell_tale([QUEUED], [], AGENT, {digest_of(QUEUED)}) == TellTale(0, 0, "")
    assert (
        "contradicted updates were delivered"
        in tell_tale([QUEUED], [told(QUEUED, 1)], AGENT, set()).complaint
    )


def test_an_update_that_nobody_contradicted_is_told():
    kept_back = tell_tale([QUEUED], [], WAITING, {digest_of(QUEUED)})
    assert kept_back.lost == 1
    assert "not contradicted" in kept_back.complaint
