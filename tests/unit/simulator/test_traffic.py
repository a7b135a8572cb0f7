"""The simulator's bodies: repeatable, distinct, and malformed as requested."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from simulator.traffic import SPOILERS, Dialect, TrafficPlan, longest_span, platform_timestamp, traffic

PAYLOAD = {
    "eventType": "openmessaging:conversation:message",
    "conversationId": "a1b2c3d4",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "message": {"text": "Hi 👋"},
}
PLAN = TrafficPlan(events=2000, conversations=20, seed=7, start=datetime(2026, 1, 1, tzinfo=UTC))


def payloads(plan):
    return [json.loads(post.body) for post in traffic(plan)]


def test_the_same_plan_gives_the_same_bytes():
    plan = replace(PLAN, dialect=Dialect.BOTH, duplicate_share=0.1, malformed_share=0.1, disorder_share=0.1)
    assert list(traffic(plan)) == list(traffic(plan))


def test_another_seed_shares_no_body():
    bodies = {post.body for post in traffic(PLAN)}
    assert not bodies & {post.body for post in traffic(replace(PLAN, seed=8))}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_every_event_has_a_number_and_a_body_of_its_own_in_the_dialect_that_is_wanted(dialect):
    posts = list(traffic(replace(PLAN, dialect=dialect, collision_share=0.5)))
    assert [post.event for post in posts] == list(range(2000))
    assert len({post.body for post in posts}) == 2000
    kinds = {Dialect.GUIDE: {"new", "message", "updated"}, Dialect.GENESYS: {"typing", "message", "receipt"}}
    assert {post.kind for post in posts} == kinds.get(dialect, set().union(*kinds.values()))
    shapes = {"eventType" in json.loads(post.body) for post in posts}
    assert shapes == {Dialect.GUIDE: {True}, Dialect.GENESYS: {False}, Dialect.BOTH: {True, False}}[dialect]


def test_a_conversation_is_in_order_without_disorder():
    newest = {}
    for payload in payloads(PLAN):
        conversation, timestamp = payload["conversationId"], payload["timestamp"]
        assert newest.get(conversation, "") < timestamp
        newest[conversation] = timestamp


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("events", "conversations"), [(1, 1), (400, 40), (2000, 20)])
def test_no_event_lies_in_the_future(dialect, events, conversations):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    start = now - longest_span(events, conversations)
    for seed in range(5):
        plan = TrafficPlan(events, conversations, seed, start, dialect)
        times = [body.get("timestamp") or body["channel"]["time"] for body in payloads(plan)]
        assert max(times) <= platform_timestamp(now)


def test_disorder_delays_events_and_loses_none():
    posts = list(traffic(replace(PLAN, disorder_share=0.2)))
    numbers = [post.event for post in posts]
    assert sorted(numbers) == list(range(2000))
    assert any(later < earlier for earlier, later in pairwise(numbers))


def test_duplicates_come_after_their_original_and_differ_only_if_an_id_identifies_the_event():
    bodies = {}
    for post in traffic(replace(PLAN, duplicate_share=0.3, dialect=Dialect.BOTH)):
        bodies.setdefault(post.event, []).append(post.body)
    twice = [pair for pair in bodies.values() if len(pair) == 2]
    identical = [pair for pair in twice if pair[0] == pair[1]]
    assert 400 < len(twice) < 800
    assert 0 < len(identical) < len(twice)
    for original, again in (pair for pair in twice if pair[0] != pair[1]):
        payload = json.loads(original)
        assert payload.get("id") or payload.get("sequence") or payload["message"].get("id")
        assert "simulatedRedelivery" in json.loads(again).keys() - payload.keys()


def test_collisions_put_distinct_messages_into_one_millisecond():
    moments = Counter(
        (each["conversationId"], each["timestamp"]) for each in payloads(replace(PLAN, collision_share=0.3))
    )
    assert sum(count > 1 for count in moments.values()) > 100


def test_only_distinguishable_events_share_a_millisecond():
    keys = []
    for body in payloads(replace(PLAN, collision_share=1.0)):
        message = body.get("message", {})
        identity = message.get("id") or body.get("sequence") or message.get("text")
        keys.append((body["conversationId"], body["timestamp"], body["eventType"], identity))
    assert len(set(keys)) == len(keys)


def test_malformed_bodies_of_every_kind_are_sent_and_carry_no_event():
    posts = [post for post in traffic(replace(PLAN, malformed_share=0.3)) if post.event is None]
    assert {post.kind for post in posts} == {f"malformed:{kind}" for kind in SPOILERS}
    assert len({post.body for post in posts}) == len(posts)


def test_unknown_fields_leave_the_identifying_fields_alone():
    plain = payloads(PLAN)
    drifted = payloads(replace(PLAN, unknown_field_share=1.0))
    assert all("simulatedNewField" in payload for payload in drifted)
    assert all({"eventType", "conversationId", "timestamp"} <= payload.keys() for payload in drifted)
    assert not any("simulatedNewField" in payload for payload in plain)


def is_unreadable(body):
    try:
        json.loads(body.decode())
    except (ValueError, RecursionError):
        return True
    return False


def lacks(field):
    return lambda body: json.loads(body).keys() == PAYLOAD.keys() - {field}


def has(sign):
    return lambda body: not is_unreadable(body) and sign in body


def is_changed(body):
    return json.loads(body) != PAYLOAD


IS_SPOILED = {
    **dict.fromkeys(
        ["bad-utf8", "truncated", "byte-order-mark", "deep-nesting", "huge-number"], is_unreadable
    ),
    "nan": has(b"NaN"),
    "lone-surrogate": has(b"\\ud800"),
    "nul-character": has(b"\\u0000"),
    "not-an-object": has(b"[{"),
    "event-type-unknown": has(b"exploded"),
    "duplicate-keys": lambda body: body.count(b'"timestamp"') == 2,
    "conversation-id-missing": lacks("conversationId"),
    "timestamp-missing": lacks("timestamp"),
    **dict.fromkeys(["conversation-id-wrong-type", "timestamp-wrong-type", "timestamp-no-time"], is_changed),
}


@pytest.mark.parametrize("kind", SPOILERS)
def test_a_malformed_body_is_what_its_name_says(kind):
    assert IS_SPOILED[kind](SPOILERS[kind](PAYLOAD))


def test_every_body_stays_below_the_edges_size_limit():
    assert all(len(spoil(PAYLOAD)) < 1024 * 1024 for spoil in SPOILERS.values())
