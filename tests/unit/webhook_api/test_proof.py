"""A segment is released after two answered probes a grace period apart, or after its confirms."""

from pathlib import Path

import pytest

from webhook_api.journal import Segment
from webhook_api.relay.proof import GRACE_SECONDS, Barrier, Confirms

ONE = Segment(Path("1"), size=1)
TWO = Segment(Path("2"), size=1)


class ByProbes(Barrier):
    """A barrier whose `broker_takes_all` simulates the probes that prove all published segments."""

    def broker_takes_all(self, now, last_tag):
        del last_tag
        self.on_probe_sent(now)
        self.on_probe_answered(now, now)
        self.on_probe_sent(now + GRACE_SECONDS)
        return self.on_probe_answered(now + GRACE_SECONDS, now + GRACE_SECONDS)


class ByConfirms(Confirms):
    """Publisher confirms whose `broker_takes_all` simulates a confirm of all published segments."""

    def broker_takes_all(self, now, last_tag):
        self.confirm(last_tag, is_multiple=True)
        return self.on_probe_answered(now, now)


@pytest.fixture(params=[ByProbes, ByConfirms])
def proof(request):
    return request.param()


def test_proven_segments_are_released_in_order(proof):
    proof.add(ONE, 1)
    proof.add(TWO, 2)
    assert proof.broker_takes_all(100.0, 2) == [ONE, TWO]
    assert proof.segments == []


def test_an_interruption_returns_all_unproven_segments_in_order(proof):
    """Guarantee 2.3."""
    proof.add(ONE, 1)
    proof.on_probe_sent(100.0)
    proof.on_probe_answered(100.0, 100.0)
    proof.add(TWO, 2)
    assert proof.interrupt() == [ONE, TWO]
    assert proof.segments == []


def test_an_answer_to_a_probe_before_an_interruption_does_not_prove_a_republished_segment(proof):
    proof.add(ONE, 2)
    proof.broker_takes_all(100.0, 1)
    proof.on_probe_sent(100.0)
    proof.interrupt()
    proof.add(ONE, 1)
    assert proof.on_probe_answered(200.0, 200.0) == []
    assert proof.segments == [ONE]


def test_a_probe_sent_within_the_grace_period_proves_no_segment_even_if_answered_late():
    """Guarantee 2.2."""
    barrier = Barrier()
    barrier.add(ONE, 1)
    barrier.on_probe_sent(100.0)
    assert barrier.on_probe_answered(100.0, 100.0) == []
    barrier.on_probe_sent(100.0 + GRACE_SECONDS - 0.01)
    assert barrier.on_probe_answered(200.0, 200.0) == []
    assert barrier.segments == [ONE]


def test_an_answer_does_not_prove_a_segment_published_after_its_probe():
    barrier = Barrier()
    barrier.add(ONE, 1)
    barrier.on_probe_sent(100.0)
    barrier.add(TWO, 2)
    barrier.on_probe_answered(100.0, 100.0)
    barrier.on_probe_sent(100.0 + GRACE_SECONDS)
    assert barrier.on_probe_answered(100.0 + GRACE_SECONDS, 100.0 + GRACE_SECONDS) == [ONE]
    assert barrier.segments == [TWO]


@pytest.mark.parametrize(
    ("majority_until", "proven"),
    [(float("-inf"), []), (100.0, []), (100.0 + GRACE_SECONDS - 0.01, []), (100.0 + GRACE_SECONDS, [ONE])],
)
def test_answers_prove_a_segment_only_with_a_recent_majority(majority_until, proven):
    barrier = Barrier()
    barrier.add(ONE, 1)
    barrier.on_probe_sent(100.0)
    barrier.on_probe_answered(100.0, 100.0)
    barrier.on_probe_sent(100.0 + GRACE_SECONDS)
    assert barrier.on_probe_answered(200.0, majority_until) == proven


@pytest.mark.parametrize(
    ("confirmed", "proven"),
    [
        ([(1, False)], []),
        ([(1, False), (2, False)], [ONE]),
        ([(2, False), (1, False)], [ONE]),
        ([(3, False), (4, False), (2, False)], []),
        ([(3, False), (4, False), (2, False), (1, False)], [ONE, TWO]),
        ([(3, False), (2, True), (4, False)], [ONE, TWO]),
        ([(4, True)], [ONE, TWO]),
        ([(2, False), (3, True), (4, False)], [ONE, TWO]),
    ],
)
def test_a_segment_is_confirmed_when_all_tags_up_to_its_last_tag_are_confirmed(confirmed, proven):
    confirms = Confirms()
    confirms.add(ONE, 2)
    confirms.add(TWO, 4)
    for tag, is_multiple in confirmed:
        confirms.confirm(tag, is_multiple=is_multiple)
    assert confirms.on_probe_answered(100.0, 100.0) == proven
