"""A run grows while it is sent, and never after its end."""

from datetime import UTC, datetime

from workers.deliver import WebhookMessage
from workers.deliver.leasing import LeasedDelivery
from workers.deliver.runs import Run


def deliveries(*ids):
    now = datetime.now(tz=UTC)
    return [
        LeasedDelivery(
            WebhookMessage(number, "c", "t", now, 0, late=False, verified=None, payload=b""), 0, None, 0
        )
        for number in ids
    ]


def test_added_deliveries_follow_the_others():
    run = Run(deliveries(1, 2), is_probe=False)
    assert run.add(deliveries(3))
    assert [run.advance() for _ in range(3)] == [(1,), (2,), (3,)]
    assert run.is_ended


def test_nothing_is_added_to_a_run_that_has_ended():
    sent, failed = Run(deliveries(1), is_probe=False), Run(deliveries(1, 2), is_probe=False)
    sent.advance()
    assert [delivery.message.outbox_id for delivery in failed.end()] == [1, 2]
    assert not sent.add(deliveries(2))
    assert not failed.add(deliveries(3))


def test_a_run_overlaps_deliveries_that_are_still_in_it():
    run = Run(deliveries(1, 2, 3), is_probe=False)
    run.advance()
    assert run.overlaps(deliveries(3, 4))
    assert not run.overlaps(deliveries(1))
    assert not run.overlaps(deliveries(4, 5))


def test_only_a_long_run_may_grow():
    assert not Run(deliveries(1), is_probe=False).may_grow
    assert Run(deliveries(*range(10)), is_probe=False).may_grow
