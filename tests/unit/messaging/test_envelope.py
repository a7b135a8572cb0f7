"""The envelope on the wire and in the journal has the bytes that pika would write."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pika import frame, spec
from pika.spec import BasicProperties

from messaging.broker import PublishFrames
from messaging.consuming.delivery import read_encoded_delivery
from messaging.envelope import (
    MAX_RECEIVED_US,
    MIN_RECEIVED_US,
    OTHER,
    WEBHOOK,
    Envelope,
    decode_properties,
    encode_properties,
    envelope_of,
    own_envelope,
)
from messaging.topology import EVENT_ROUTING_KEY, EXCHANGE
from tests.fakes.encoded_header import UNREADABLE, EncodedHeader

TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=60)
MICROSECONDS = st.integers(MIN_RECEIVED_US, MAX_RECEIVED_US)
CHANNEL = 1


@given(message_id=TEXT, received_at_us=MICROSECONDS, request_id=TEXT)
def test_properties_are_encoded_and_decoded_exactly_as_in_pika(message_id, received_at_us, request_id):
    headers = {"received-at-us": received_at_us, "request-id": request_id, "source": WEBHOOK}
    pika_properties = BasicProperties(message_id=message_id, delivery_mode=2, headers=headers)
    ours = encode_properties(message_id, received_at_us, request_id, WEBHOOK)
    assert ours == b"".join(pika_properties.encode())
    assert own_envelope(ours, b"{}") == envelope_of(pika_properties, b"{}")


def test_the_repr_of_an_envelope_does_not_contain_its_body():
    assert "customer" not in repr(Envelope("m-1", 1, "r-1", WEBHOOK, b"words of a customer"))


@pytest.mark.parametrize("value", [*UNREADABLE.values(), b"f\x7f\xc0\0\0", b"d\x7f\xf0" + bytes(6)])
def test_properties_with_a_value_that_cannot_be_decoded_are_read(value):
    properties = b"".join(EncodedHeader(value, message_id="m").encode())
    assert decode_properties(properties).message_id == "m"
    assert envelope_of(decode_properties(properties), b"{}").source == OTHER


def test_the_delivery_count_of_a_redelivered_event_is_read():
    properties = BasicProperties()
    properties.decode(encode_properties("m-1", 2**50, "r-1", WEBHOOK))
    properties.headers["x-delivery-count"] = 2
    delivery = read_encoded_delivery("queue", 7, b"".join(properties.encode()), b"{}")
    assert delivery.delivery_count == 3
    assert delivery.envelope == own_envelope(encode_properties("m-1", 2**50, "r-1", WEBHOOK), b"{}")


@given(cut=st.integers(min_value=0, max_value=200), strange=st.binary(max_size=3))
def test_foreign_properties_are_read_as_pika_reads_them_or_left_to_pika(cut, strange):
    ours = encode_properties("m-1", 2**50, "r-1", WEBHOOK)
    theirs = ours[:cut] + strange + ours[cut + len(strange) :]
    for properties in (theirs, theirs[: cut + 20]):
        envelope = own_envelope(properties, b"{}")
        assert envelope is None or envelope == envelope_of(decode_properties(properties), b"{}")


def test_a_delivery_without_our_headers_has_the_current_time_as_its_time_of_receipt():
    before_us = time.time_ns() // 1000
    envelope = envelope_of(BasicProperties(), b"{}")
    assert envelope.body == b"{}"
    assert before_us <= envelope.received_at_us <= time.time_ns() // 1000
    assert envelope.source == OTHER


@pytest.mark.parametrize(
    "received_at_us", [0, 1, True, -1, -(2**62), 2**62, 1_732_462_000_123_456_789, "yesterday", None]
)
def test_an_impossible_time_is_replaced_by_the_time_of_the_delivery(received_at_us):
    before_us = time.time_ns() // 1000
    headers = {"received-at-us": received_at_us, "request-id": "r-1", "source": WEBHOOK}
    properties = BasicProperties(message_id="m-1", delivery_mode=2, headers=headers)
    delivery = read_encoded_delivery("queue", 7, b"".join(properties.encode()), b"{}")
    assert before_us <= delivery.envelope.received_at_us <= time.time_ns() // 1000


@pytest.mark.parametrize("returns", ["often", -7, 2**62, ["2"], None])
@pytest.mark.parametrize("death", [["rejected"], {"a": 1}, 7, None])
def test_malformed_broker_headers_are_ignored(returns, death):
    headers = {"x-delivery-count": returns, "x-first-death-reason": death}
    delivery = read_encoded_delivery("queue", 7, b"".join(BasicProperties(headers=headers).encode()), b"{}")
    assert 1 <= delivery.delivery_count < 2**31
    assert delivery.death_reason is None


@given(size=st.integers(min_value=1, max_value=5000), frame_max=st.sampled_from([64, 4096, 131072]))
def test_a_published_message_is_encoded_exactly_as_pika_encodes_it(size, frame_max):
    body = bytes(index % 251 for index in range(size))
    properties = encode_properties("m-1", 1_732_462_000_123_456, "r-1", WEBHOOK)
    frames = PublishFrames(CHANNEL, frame_max)
    frames.add(properties, body)
    frames.add(properties, body)
    assert frames.take() == (2, 2 * b"".join(_frames_of_pika(properties, body, frame_max - 8)))
    assert frames.take() == (0, b"")


def _frames_of_pika(properties, body, chunk):
    decoded = BasicProperties()
    decoded.decode(properties)
    publish = spec.Basic.Publish(exchange=EXCHANGE, routing_key=EVENT_ROUTING_KEY, mandatory=True)
    yield frame.Method(CHANNEL, publish).marshal()
    yield frame.Header(CHANNEL, len(body), decoded).marshal()
    for start in range(0, len(body), chunk):
        yield frame.Body(CHANNEL, body[start : start + chunk]).marshal()
