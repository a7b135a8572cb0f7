"""A request to a destination contains the unchanged payload and is signed with every secret."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from workers.deliver import WebhookMessage
from workers.deliver.webhook import build_body, build_headers
from workers.parsing import CONVERSATION_MESSAGE

SECRET = "whsec_" + base64.b64encode(b"constructed").decode()
OTHER = "whsec_" + base64.b64encode(b"another").decode()
PAYLOAD = '{"conversationId" : "c",\n "words": "Grüße", "n": 1e400}'.encode()
NOON = datetime(2026, 1, 1, 13, tzinfo=timezone(timedelta(hours=1)))
MESSAGE = WebhookMessage(
    7, "c", CONVERSATION_MESSAGE, NOON, 1_700_000_000_000_000, late=False, verified=None, payload=PAYLOAD
)


def test_the_payload_is_in_the_body_byte_for_byte():
    body = build_body(MESSAGE)
    assert PAYLOAD in body
    read = json.loads(body)
    assert read.pop("data")["words"] == "Grüße"
    assert read == {
        "type": "openmessaging:conversation:message",
        "timestamp": "2026-01-01T12:00:00.000000+00:00",
        "conversation_id": "c",
        "sequence": 7,
        "late": False,
        "verified": None,
    }


def test_the_standard_webhooks_library_verifies_the_signature_with_each_secret():
    body = build_body(MESSAGE)
    signers = [Webhook(SECRET), Webhook(OTHER)]
    headers = build_headers(MESSAGE.webhook_id, body, signers, datetime.now(tz=UTC))
    for secret in (SECRET, OTHER):
        assert Webhook(secret).verify(body, headers)["sequence"] == 7
    for signed, sent in ((body + b" ", headers), (body, headers | {"webhook-id": "msg_x"})):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(signed, sent)
    assert headers["Idempotency-Key"] == headers["webhook-id"] == MESSAGE.webhook_id
