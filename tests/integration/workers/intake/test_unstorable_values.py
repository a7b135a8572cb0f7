"""A dead letter is recorded whatever its reason and headers contain, and the worker continues."""

import json

import pytest
from sqlalchemy import text

from messaging import topology
from messaging.admin import lock_dead_letters
from messaging.errors import RejectedEventError
from tests.fakes.encoded_header import UNREADABLE, EncodedHeader
from tests.integration.workers.consuming import depth, processor, publish
from tests.integration.workers.events import deliver, said
from tests.waiting import wait_until
from workers.parsing import CONVERSATION_MESSAGE

BLANKS = b" " * 200_000
"""Spaces that make a body too long for one frame, so that pika decodes the delivery's properties."""

# tests/unit/workers/test_storable.py has more values.
REFUSALS = [("\ud83d", "\0"), ("\0", "\ud83d"), (None, None), (7, ["x"]), ("c" * 5000, "r" * 100_000)]
REFUSE_RECORD = {
    "sqlite": [
        """CREATE TRIGGER refusing BEFORE INSERT ON dead_letters WHEN NEW.code <> 'unrecordable'
        BEGIN SELECT RAISE(ABORT, 'refused'); END"""
    ],
    "postgresql": [
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '23514'; END $$""",
        """CREATE TRIGGER refusing BEFORE INSERT ON dead_letters FOR EACH ROW
        WHEN (NEW.code <> 'unrecordable') EXECUTE FUNCTION refuse()""",
    ],
}


def refusing(handlers, error):
    def handler(connection, claimed, now_us):
        if any(each.event.text == "bad" for each in claimed):
            raise error

    return handlers | {CONVERSATION_MESSAGE: (*handlers[CONVERSATION_MESSAGE], handler)}


@pytest.mark.parametrize(("code", "reason"), REFUSALS, ids=lambda value: repr(value)[:20])
def test_a_rejection_with_any_code_and_reason_is_recorded(engine, handlers, query, code, reason):
    bad = deliver(said("bad"))
    rejected = processor(engine, refusing(handlers, RejectedEventError(code, reason)))(
        deliver(said("good", after_ms=1)), bad, deliver(said("good", after_ms=2))
    )
    assert rejected == {bad.tag}
    assert query("SELECT message_id FROM dead_letters") == [(bad.envelope.message_id,)]
    assert query("SELECT count(*) FROM processed_events") == [(2,)]


def test_a_record_that_the_database_refuses_is_replaced_by_a_minimal_one(engine, intake, query):
    """Guarantee 4.3."""
    with engine.begin() as connection:
        for statement in REFUSE_RECORD[engine.dialect.name]:
            connection.execute(text(statement))
    bad = deliver(b"no event")
    assert intake(bad, deliver(said("good"))) == {bad.tag}
    assert query("SELECT message_id, code FROM dead_letters") == [(bad.envelope.message_id, "unrecordable")]
    assert query("SELECT count(*) FROM processed_events") == [(1,)]


HEADERS = {
    "none": None,
    "a year before 4713 BC": {"received-at-us": -(2**62)},
    "the year 55840": {"received-at-us": 1_700_000_000_000_000_000},
    "a delivery count that is no number": {"x-delivery-count": "often"},
    "a reason of death that is a list": {"x-first-death-reason": ["rejected"]},
    "ids that cannot be stored": {"request-id": "a\0b", "source": "\n"},
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS)
def test_an_event_with_unreadable_headers_takes_effect_and_does_not_delay_other_events(
    working, channel, query, headers
):
    """Guarantee 7.5."""
    for content in (said("strange"), b"no event"):
        publish(channel, content, message_id="m", headers=headers)
    for number in range(1, 20):
        publish(channel, said("good", after_ms=number))

    with working():
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(20,)])
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1)

    assert query("SELECT DISTINCT source FROM processed_events") == [("other",)]
    assert query("SELECT count(*) FROM processed_events WHERE received_at < '2026-01-01'") == [(0,)]
    assert query("SELECT code FROM dead_letters") == [("not_json",)]


@pytest.mark.parametrize("value", UNREADABLE.values(), ids=UNREADABLE)
def test_a_header_that_cannot_be_decoded_does_not_end_a_connection(vhost, working, channel, query, value):
    for body in (
        json.dumps(said("strange")).encode(),
        json.dumps(said("long")).encode() + BLANKS,
        b"no event",
    ):
        properties = EncodedHeader(value, message_id="m")
        channel.basic_publish(topology.EXCHANGE, topology.EVENT_ROUTING_KEY, body, properties)
    publish(channel, said("good", after_ms=2))

    with working():
        wait_until(lambda: query("SELECT count(*) FROM processed_events") == [(3,)])
        wait_until(lambda: depth(channel, topology.DEAD_LETTERS) == 1)

    with lock_dead_letters((vhost.amqp_url,), client_name="test") as queue:
        assert [[one.envelope.body for one in window] for window in queue.windows()] == [[b"no event"]]
