import json

import pytest

from workers.parsing import TYPING


def test_the_fields_of_a_native_body_are_read_into_the_event(read, payload):
    event = read(payload("genesys/text"))
    assert event.conversation_id == "5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"
    assert event.occurred_at_us == 1_749_589_385_427_000
    assert event.platform_message_id == "d7d58935af65a45e5234ac77de017a0a"
    assert (event.text, event.sender) == ("Hi", "human")
    attachment = read(payload("genesys/attachment"))
    assert attachment.text is None
    assert "image.jpg" in attachment.content
    assert '"code":"RateLimited"' in read(payload("genesys/receipt-failed")).receipt_reasons


def test_a_body_without_conversation_id_belongs_to_its_customer_and_integration(read, payload):
    first = read(payload("genesys/text", conversationId=None))
    second = read(payload("genesys/receipt-published", conversationId=None))
    other = payload("genesys/text", conversationId=None)
    other["channel"]["to"]["id"] = "another"
    assert first.conversation_id == second.conversation_id
    assert first.conversation_id.startswith("e6b352de-ecd0-49c7-94de-7787418869bc/")
    assert read(other).conversation_id != first.conversation_id
    assert "did:plc" not in first.conversation_id


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"status": "DataFiltered"}, "status=DataFiltered"),
        ({"direction": "Sideways"}, "direction=Sideways"),
        ({"originatingEntity": "Alien"}, "originatingEntity=Alien"),
    ],
)
def test_an_unknown_enum_value_is_processed_and_noted(read, payload, notes, changes, name):
    """Guarantee 6.1."""
    read(payload("genesys/receipt-published", **changes))
    assert [(drift.kind, drift.name) for drift in notes.pending()] == [("unknown_value", name)]


def listing(payload, *kinds):
    return payload("genesys/typing", events=[{"eventType": kind} for kind in kinds])


def test_a_list_of_several_kinds_becomes_one_event_for_each_kind(read_all, payload, notes):
    events = read_all(listing(payload, "Presence", "Typing", "Typing", "CoBrowse"))
    assert [event.event_type for event in events] == [
        "openmessaging:event:presence",
        TYPING,
        "openmessaging:event:cobrowse",
    ]
    assert len({event.idempotency_key for event in events}) == 3
    assert {drift.name for drift in notes.pending()} == {
        "events[].eventType=Presence",
        "events[].eventType=CoBrowse",
    }


def test_malformed_kinds_become_a_single_event_of_kind_other_and_are_never_shown(read_all, payload, notes):
    events = read_all(listing(payload, "Typing", "Jane Doe", 5, *("x" * n for n in range(1, 31))))
    assert len(events) <= 21
    assert sum(event.event_type == "openmessaging:event:other" for event in events) == 1
    assert not any("Jane" in drift.name for drift in notes.pending())


def inbound(payload, customer="customer-1", **channel):
    body = payload("genesys/text", conversationId=None, direction="Inbound")
    body["channel"] |= {"from": {"id": customer}, "to": {"id": body["channel"]["id"]}} | channel
    return body


@pytest.mark.parametrize("channel", [{}, {"to": {"id": "the-shop"}}, {"to": None}])
def test_an_inbound_body_without_conversation_id_belongs_to_the_customer(read, payload, channel):
    first = read(inbound(payload, "customer-1", **channel))
    reply = payload("genesys/text", conversationId=None)
    reply["channel"]["to"]["id"] = "customer-1"
    assert read(inbound(payload, "customer-2", **channel)).conversation_id != first.conversation_id
    assert read(reply).conversation_id == first.conversation_id


@pytest.mark.parametrize(
    ("party", "drift"),
    [
        ({"nickName": "The Shop", "idType": "opaque"}, set()),
        ({"nickname": "Jane", "idType": "EMAIL"}, set()),
        ({"pronouns": "she", "idType": "Handle"}, {"channel.to.pronouns", "channel.to.idType=handle"}),
    ],
)
def test_only_new_fields_of_a_party_are_noted_but_not_their_values(read, payload, notes, party, drift):
    body = payload("genesys/text")
    body["channel"]["to"] |= party
    read(body)
    assert {each.name for each in notes.pending()} == drift


def test_an_attachment_is_kept_without_its_bytes(read, payload, notes):
    body = payload("genesys/attachment")
    reference = dict(body["content"][0]["attachment"])
    body["content"][0]["attachment"]["bytes"] = "UEsDBA=="
    event = read(body)
    assert json.loads(event.content) == [{"contentType": "Attachment", "attachment": reference}]
    assert [drift.name for drift in notes.pending()] == ["content[].attachment.bytes"]


def test_a_new_kind_of_content_is_kept_whole_and_noted(read, payload, notes):
    part = {"contentType": "Hologram", "hologram": {"url": "https://example.org/1"}}
    event = read(payload("genesys/attachment", content=[part]))
    assert json.loads(event.content) == [part]
    assert [drift.name for drift in notes.pending()] == ["content[].contentType=Hologram"]
