"""The simulator makes repeatable and distinct bodies, and malformed bodies if requested."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from messaging.errors import RejectedEventError
from simulator.traffic import SPOILERS, Dialect, TrafficPlan, longest_span, platform_timestamp, traffic
from workers.parsing import EVENT_TYPES, DriftNotes, read_body

START = datetime(2026, 1, 1, tzinfo=UTC)
PAYLOAD = {
    "eventType": "openmessaging:conversation:message",
    "conversationId": "a1b2c3d4",
    "timestamp": "2026-01-01T00:00:00.000Z",
    "message": {"text": "Hi 👋"},
}
PLAN = TrafficPlan(events=2000, conversations=20, seed=7, start=START)


def posts(**changes):
    return list(traffic(replace(PLAN, **changes)))


def payloads(**changes):
    return [json.loads(post.body) for post in posts(**changes)]


def test_a_plan_always_gives_the_same_bytes_and_another_seed_gives_other_bytes():
    shares = {"duplicate_share": 0.1, "malformed_share": 0.1, "disorder_share": 0.1}
    assert posts(dialect=Dialect.BOTH, **shares) == posts(dialect=Dialect.BOTH, **shares)
    assert not {post.body for post in posts()} & {post.body for post in posts(seed=8)}


@pytest.mark.parametrize("dialect", list(Dialect))
def test_each_event_has_a_number_and_a_distinct_body_in_the_given_dialect(dialect):
    sent = posts(dialect=dialect, collision_share=0.5)
    assert [post.event for post in sent] == list(range(2000))
    assert len({post.body for post in sent}) == 2000
    kinds = {Dialect.GUIDE: {"new", "message", "updated"}, Dialect.GENESYS: {"typing", "message", "receipt"}}
    assert {post.kind for post in sent} == kinds.get(dialect, set().union(*kinds.values()))
    shapes = {"eventType" in json.loads(post.body) for post in sent}
    assert shapes == {Dialect.GUIDE: {True}, Dialect.GENESYS: {False}, Dialect.BOTH: {True, False}}[dialect]


def test_the_events_of_a_conversation_are_in_order_unless_disorder_is_requested():
    newest = {}
    for payload in payloads():
        conversation, timestamp = payload["conversationId"], payload["timestamp"]
        assert newest.get(conversation, "") < timestamp
        newest[conversation] = timestamp


@pytest.mark.parametrize("dialect", list(Dialect))
@pytest.mark.parametrize(("events", "conversations"), [(1, 1), (400, 40), (2000, 20)])
def test_no_event_has_a_time_in_the_future(dialect, events, conversations):
    start = START - longest_span(events, conversations)
    for seed in range(2):
        plan = TrafficPlan(events, conversations, seed, start, dialect)
        bodies = [json.loads(post.body) for post in traffic(plan)]
        assert max(body.get("timestamp") or body["channel"]["time"] for body in bodies) <= (
            platform_timestamp(START)
        )


def test_disorder_delays_events_without_losing_any():
    numbers = [post.event for post in posts(disorder_share=0.2)]
    assert sorted(numbers) == list(range(2000))
    assert any(later < earlier for earlier, later in pairwise(numbers))


def test_a_duplicate_follows_its_original_and_differs_only_if_an_id_identifies_the_event():
    bodies = {}
    for post in posts(duplicate_share=0.3, dialect=Dialect.BOTH):
        bodies.setdefault(post.event, []).append(post.body)
    twice = [pair for pair in bodies.values() if len(pair) == 2]
    different = [pair for pair in twice if pair[0] != pair[1]]
    assert 400 < len(twice) < 800
    assert 0 < len(different) < len(twice)
    for original, again in different:
        payload = json.loads(original)
        assert payload.get("id") or payload.get("sequence") or payload["message"].get("id")
        assert "simulatedRedelivery" in json.loads(again).keys() - payload.keys()


def test_collisions_put_distinguishable_events_into_one_millisecond():
    moments, keys = Counter(), Counter()
    for body in payloads(collision_share=1.0):
        moment = (body["conversationId"], body["timestamp"])
        message = body.get("message", {})
        moments[moment] += 1
        keys[
            *moment, body["eventType"], message.get("id") or body.get("sequence") or message.get("text")
        ] += 1
    assert sum(count > 1 for count in moments.values()) > 100
    assert set(keys.values()) == {1}


def test_malformed_bodies_of_every_kind_are_sent_without_an_event_number():
    malformed = [post for post in posts(malformed_share=0.3) if post.event is None]
    assert {post.kind for post in malformed} == {f"malformed:{kind}" for kind in SPOILERS}
    assert len({post.body for post in malformed}) == len(malformed)


def test_unknown_fields_leave_the_identifying_fields_unchanged():
    names = {"eventType", "conversationId", "timestamp", "simulatedNewField"}
    assert all(names <= payload.keys() for payload in payloads(unknown_field_share=1.0))
    assert not any("simulatedNewField" in payload for payload in payloads())


@pytest.mark.parametrize("kind", SPOILERS)
def test_a_malformed_body_fits_into_a_request_and_is_rejected_by_the_workers(kind):
    body = SPOILERS[kind](PAYLOAD)
    assert len(body) < 1024 * 1024
    with pytest.raises(RejectedEventError):
        read_body(body, DriftNotes(), EVENT_TYPES)
