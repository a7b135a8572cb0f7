from dataclasses import replace

import pytest

from messaging.envelope import MAX_RECEIVED_US, MIN_RECEIVED_US
from workers.db.ingest import DeadLetter, make_minimal, make_storable

DEAD_LETTER = DeadLetter(
    "m-1", "handler_failed", "handler a:b: ValueError", "0f" * 32, "webhook", 2**50, 3, "k-1"
)


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("message_id", "\ud83d", DEAD_LETTER.body_sha256),
        ("message_id", "a\0b", DEAD_LETTER.body_sha256),
        ("message_id", "", DEAD_LETTER.body_sha256),
        ("message_id", "x" * 5000, DEAD_LETTER.body_sha256),
        ("message_id", "Zoë \u200b", "Zoë \u200b"),
        ("code", None, "invalid_code"),
        ("code", 7, "invalid_code"),
        ("code", "two words", "invalid_code"),
        ("code", "c" * 65, "invalid_code"),
        ("code", "\ud83d", "invalid_code"),
        ("code", "crm.refused", "crm.refused"),
        ("reason", "half an emoji \ud83d, \0 and \n", "half an emoji ?, ? and ?"),
        ("reason", "r" * 5000, "r" * 300),
        ("received_at_us", -(2**62), MIN_RECEIVED_US),
        ("received_at_us", 2**70, MAX_RECEIVED_US),
        ("received_at_us", None, MIN_RECEIVED_US),
        ("attempt", 2**40, 1_000_000),
        ("attempt", -1, 1),
        ("idempotency_key", "c-1\0:1", None),
        ("destination", "crm\0", None),
        ("destination", "crm", "crm"),
        ("idempotency_key", "c-\ud83d:1", None),
        ("idempotency_key", "k" * 5000, None),
        ("idempotency_key", "c-1 é\u200b:1", "c-1 é\u200b:1"),
    ],
)
def test_every_value_of_a_dead_letter_is_made_storable(field, value, stored):
    dead_letter = make_storable(replace(DEAD_LETTER, **{field: value}))
    assert getattr(dead_letter, field) == stored
    assert replace(dead_letter, **{field: getattr(DEAD_LETTER, field)}) == DEAD_LETTER
    assert make_storable(dead_letter) == dead_letter


def test_the_minimal_record_contains_only_the_id_of_the_event():
    record = make_minimal(replace(DEAD_LETTER, message_id="\ud83d"), 2**50 + 1)
    assert record == DeadLetter(
        DEAD_LETTER.body_sha256,
        "unrecordable",
        "record: the database refused its values",
        DEAD_LETTER.body_sha256,
        "other",
        2**50 + 1,
        1,
    )
