"""The simulated platform returns the history of its conversations."""

import json
from datetime import UTC, datetime

import pytest

from simulator.platform import Organisation, create_platform
from simulator.traffic import Dialect, TrafficPlan, traffic

START = datetime(2026, 1, 1, 23, 50, tzinfo=UTC)
SHARES = {"duplicate_share": 0.1, "disorder_share": 0.2, "collision_share": 0.1, "unknown_field_share": 0.2}
PLAN = TrafficPlan(400, 40, 7, START, dialect=Dialect.GENESYS, **SHARES)


@pytest.fixture
def organisation():
    organisation = Organisation("client", "secret")
    for post in traffic(PLAN):
        organisation.history.record(json.loads(post.body))
    return organisation


@pytest.fixture
def ask(organisation):
    client = create_platform(organisation).test_client()
    headers = {"Authorization": f"Bearer {organisation.issue_token()}"}

    def ask(path, content=None, status=200):
        method = client.get if content is None else client.post
        answer = method(f"/api/v2{path}", headers=headers, **({} if content is None else {"json": content}))
        assert answer.status_code == status
        return answer.json

    return ask


def listed(ask, interval, size=25):
    found, number = [], 1
    while True:
        paging = {"pageSize": size, "pageNumber": number}
        page = ask("/analytics/conversations/details/query", {"interval": interval, "paging": paging})
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
        shown = ask(path)["participants"]
        ids = [message["messageId"] for participant in shown for message in participant["messages"]]
        for data in ask(f"{path}/messages/bulk", ids)["entities"]:
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
    query = "/analytics/conversations/details/query"
    paging = {"pageSize": 101, "pageNumber": 1}
    ask(query, {"interval": "yesterday"}, status=400)
    ask(query, {"interval": "2026-01-01/2026-01-02", "paging": paging}, status=400)
    ask("/conversations/messages/c/messages/bulk", ["m"] * 1001, status=400)
    ask("/conversations/messages/c/messages/bulk", ["m"], status=404)
    ask("/conversations/messages/c", status=404)
