"""The simulator's events: repeatable, distinct, and as hostile as asked for."""

import json
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise

import pytest

from simulator.traffic.malformed import SPOILERS
from simulator.traffic.plan import Dialect, TrafficPlan, traffic

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
def test_every_event_has_a_number_and_a_body_of_its_own(dialect):
    posts = list(traffic(replace(PLAN, dialect=dialect, collision_share=0.5)))
    assert [post.event for post in posts] == list(range(2000))
    assert len({post.body for post in posts}) == 2000


def test_a_conversation_is_told_in_order_where_no_disorder_is_asked_for():
    told = Counter()
    for payload in payloads(PLAN):
        conversation, timestamp = payload["conversationId"], payload["timestamp"]
        assert told.get(conversation, "") < timestamp
        told[conversation] = timestamp


def test_disorder_lets_events_come_late_and_loses_none():
    posts = list(traffic(replace(PLAN, disorder_share=0.2)))
    numbers = [post.event for post in posts]
    assert sorted(numbers) == list(range(2000))
    assert any(later < earlier for earlier, later in pairwise(numbers))


def test_duplicates_come_after_their_original_as_the_same_event():
    posts = list(traffic(replace(PLAN, duplicate_share=0.3)))
    bodies = {}
    for post in posts:
        bodies.setdefault(post.event, []).append(post.body)
    twice = [pair for pair in bodies.values() if len(pair) == 2]
    identical = [pair for pair in twice if pair[0] == pair[1]]
    assert 400 < len(twice) < 800
    assert 0 < len(identical) < len(twice)
    assert all("simulatedRedelivery" not in json.loads(original) for original, _ in twice)


def test_a_redelivery_has_another_content_only_where_an_id_says_that_it_is_the_same():
    bodies = {}
    for post in traffic(replace(PLAN, duplicate_share=0.5, dialect=Dialect.BOTH)):
        bodies.setdefault(post.event, []).append(post.body)
    for original, again in (pair for pair in bodies.values() if len(pair) == 2 and pair[0] != pair[1]):
        told = json.loads(original)
        assert told.get("id") or told.get("sequence") or told["message"].get("id")
        assert json.loads(again).pop("simulatedRedelivery")


def test_collisions_put_distinct_messages_into_one_millisecond():
    moments = Counter(
        (each["conversationId"], each["timestamp"]) for each in payloads(replace(PLAN, collision_share=0.3))
    )
    assert sum(count > 1 for count in moments.values()) > 100


def test_only_events_that_a_worker_can_tell_apart_share_a_millisecond():
    keys = []
    for each in payloads(replace(PLAN, collision_share=1.0)):
        message = each.get("message", {})
        identity = message.get("id") or each.get("sequence") or message.get("text")
        keys.append((each["conversationId"], each["timestamp"], each["eventType"], identity))
    assert len(set(keys)) == len(keys)


def test_malformed_bodies_of_every_kind_are_sent_and_tell_no_event():
    posts = [post for post in traffic(replace(PLAN, malformed_share=0.3)) if post.event is None]
    assert {post.kind for post in posts} == {f"malformed:{kind}" for kind in SPOILERS}
    assert len({post.body for post in posts}) == len(posts)


def test_unknown_fields_leave_what_identifies_an_event_alone():
    plain = payloads(PLAN)
    drifted = payloads(replace(PLAN, unknown_field_share=1.0))
    assert all("simulatedNewField" in payload for payload in drifted)
    assert all({"eventType", "conversationId", "timestamp"} <= payload.keys() for payload in drifted)
    assert not any("simulatedNewField" in payload for payload in plain)


def test_both_dialects_are_mixed_on_request():
    shapes = Counter("eventType" in payload for payload in payloads(replace(PLAN, dialect=Dialect.BOTH)))
    assert min(shapes[True], shapes[False]) > 500
