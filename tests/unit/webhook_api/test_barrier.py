"""A segment is proven by two answers a grace period apart, on one connection, and by nothing less."""

from pathlib import Path

from webhook_api.handover.barrier import GRACE_SECONDS, Barrier
from webhook_api.journal.directory import Segment

ONE = Segment(Path("1"), size=1)
TWO = Segment(Path("2"), size=1)


def test_two_answers_a_grace_period_apart_prove_a_segment():
    barrier = Barrier()
    barrier.add(ONE)
    barrier.ask()
    assert barrier.answer(100.0) == []
    barrier.ask()

    assert barrier.answer(100.0 + GRACE_SECONDS) == [ONE]
    assert len(barrier) == 0


def test_a_second_answer_before_the_grace_period_proves_nothing():
    barrier = Barrier()
    barrier.add(ONE)
    barrier.ask()
    barrier.answer(100.0)
    barrier.ask()

    assert barrier.answer(100.0 + GRACE_SECONDS - 0.01) == []
    assert barrier.segments == [ONE]


def test_an_answer_says_nothing_of_what_was_published_after_its_question():
    barrier = Barrier()
    barrier.add(ONE)
    barrier.ask()
    barrier.add(TWO)
    barrier.answer(100.0)
    barrier.ask()

    assert barrier.answer(100.0 + GRACE_SECONDS) == [ONE]
    assert barrier.segments == [TWO]


def test_an_interruption_gives_everything_unproven_back_in_order():
    barrier = Barrier()
    barrier.add(ONE)
    barrier.ask()
    barrier.answer(100.0)
    barrier.add(TWO)

    assert barrier.interrupt() == [ONE, TWO]
    assert len(barrier) == 0


def test_an_answer_after_an_interruption_proves_nothing_of_what_is_published_again():
    barrier = Barrier()
    barrier.add(ONE)
    barrier.ask()
    barrier.answer(100.0)
    barrier.ask()
    barrier.interrupt()
    barrier.add(ONE)

    assert barrier.answer(200.0) == []
    assert barrier.segments == [ONE]
