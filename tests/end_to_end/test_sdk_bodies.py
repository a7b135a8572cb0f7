"""The real edge and worker accept and record bodies made from the models of the platform's official SDK."""

import json
from hashlib import sha256

import pytest

from tests.sdk_models import MOMENT, made, require_sdk, values_of
from tests.unit.workers.test_sdk_payloads import DETAIL_EVENTS, MESSAGES, WHOLE, WITHOUT_HANDLER, body_of

NOT_STORED = {"Event"}
"""Messages of type `Event` are typing indicators, which are counted but not stored."""


def bodies():
    """Yield a body for each message type of a model, each content type, each status and each detail event."""
    for kind in MESSAGES:
        for each in sorted(set(values_of(kind, "type")) - WITHOUT_HANDLER - NOT_STORED):
            yield body_of(kind, type=each, id=f"{kind}-{each}")
    for each in values_of("ConversationMessageContent", "content_type"):
        part = made("ConversationMessageContent") | {"contentType": each}
        yield body_of(WHOLE, type="Structured", id=f"content-{each}", content=[part])
    for each in values_of(WHOLE, "status"):
        yield body_of(WHOLE, type="Receipt", id=f"status-{each}", status=each)
    for topic, kind in DETAIL_EVENTS.items():
        body = made(kind) | {"eventTime": 1_749_589_384_000, "mediaType": "MESSAGE", "messageType": "OPEN"}
        name = f"v2.detail.events.conversation.c.{topic}"
        yield {"detail-type": name, "time": MOMENT, "detail": {"topicName": name, "eventBody": body}}


# This test runs only on PostgreSQL; test_native_bodies.py sends the bodies of tests/payloads with SQLite too.
@pytest.mark.parametrize("whole_service", ["postgresql"], indirect=True)
def test_every_body_that_the_sdk_declares_is_accepted_and_recorded(whole_service):
    require_sdk()
    sent = [json.dumps(each).encode() for each in bodies()]
    assert len(sent) > 50
    assert {whole_service.send(body) for body in sent} == {200}
    sent.append(json.dumps(body_of(WHOLE, type="Event", id="typing")).encode())
    assert whole_service.send(sent[-1]) == 200
    whole_service.wait_for("SELECT events FROM unstored_events")
    for body in sent[:-1]:
        assert whole_service.event_of(body)["outcome"] in {"processed", "skipped"}
    digests = {sha256(body).digest() for body in sent}
    dead = whole_service.rows("SELECT body_sha256, code, reason FROM dead_letters")
    assert not [row for row in dead if bytes(row["body_sha256"]) in digests]
