"""The simulated platform returns the history of its conversations."""

import json
from datetime import UTC, datetime

import pytest

from simulator.traffic import Dialect, TrafficPlan, traffic

START = datetime(2026, 1, 1, 23, 50, tzinfo=UTC)
SHARES = {"duplicate_share": 0.1, "disorder_share": 0.2, "collision_share": 0.1, "unknown_field_share": 0.2}
QUERY = "/analytics/conversations/details/query"
PLAN = TrafficPlan(400, 40, 7, START, dialect=Dialect.GENESYS, **SHARES)


@pytest.fixture(autouse=True)
def _sent(organisation):
    """Record the plan's events in the platform's history."""
    for post in traffic(PLAN):
        organisation.history.record(json.loads(post.body))


def listed(ask, interval, size=25):
    found, number = [], 1
    while True:
        paging = {"pageSize": size, "pageNumber": number}
        page = ask("POST", QUERY, {"interval": interval, "paging": paging}).json
        found += [conversation["conversationId"] for conversation in page["conversations"]]
        if len(found) >= page["totalHits"]:
            return found
        number += 1


def test_each_message_and_receipt_is_in_the_history_once_despite_disorder_and_duplicates(ask):
    sent = [json.loads(post.body) for post in traffic(PLAN)]
    kinds = ("Text", "Structured", "Receipt")
    expected = {(body["id"], body["type"], body.get("status")) for body in sent if body["type"] in kinds}
    found = []
    for conversation_id in {body["conversationId"] for body in sent}:
        path = f"/conversations/messages/{conversation_id}"
        shown = ask("GET", path).json["participants"]
        ids = [message["messageId"] for participant in shown for message in participant["messages"]]
        for data in ask("POST", f"{path}/messages/bulk", ids).json["entities"]:
            contents = [data["normalizedMessage"], *data["normalizedReceipts"]]
            found += [(one["id"], one["type"], one.get("status")) for one in contents]
    known = {identity for identity, kind, _ in expected if kind != "Receipt"}
    assert sorted(found, key=repr) == sorted({row for row in expected if row[0] in known}, key=repr)


def test_conversations_are_listed_page_by_page_for_the_day_of_their_start(ask):
    sent = {json.loads(post.body)["conversationId"] for post in traffic(PLAN)}
    first, second = "2026-01-01T12:00:00Z", "2026-01-02T12:00:00Z"
    assert set(listed(ask, f"{first}/{second}")) == sent
    assert len(listed(ask, f"{first}/{second}", size=7)) == len(sent)
    assert listed(ask, f"{second}/{second}") == []


def test_malformed_oversized_and_unknown_queries_are_refused(ask):
    paging = {"pageSize": 101, "pageNumber": 1}
    bulk = "/conversations/messages/c/messages/bulk"
    assert ask("POST", QUERY, {"interval": "yesterday"}).status_code == 400
    assert ask("POST", QUERY, {"interval": "2026-01-01/2026-01-02", "paging": paging}).status_code == 400
    assert ask("POST", bulk, ["m"] * 1001).status_code == 400
    assert ask("POST", bulk, ["m"]).status_code == 404
    assert ask("GET", "/conversations/messages/c").status_code == 404
