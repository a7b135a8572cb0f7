"""A broken deployment moves no whole queue into the dead letters, and a mended one goes on by itself."""

from dataclasses import replace

import pytest

from messaging import topology
from messaging.clock import SystemClock
from messaging.errors import RetryLaterError
from tests.integration.workers.events import deliver, said
from workers.intake import Intake
from workers.intake.brake import RECENT_EVENTS
from workers.tables import Suspects

MESSAGE = "openmessaging:conversation:message"


@pytest.fixture
def is_broken():
    return [True]


@pytest.fixture
def make_intake(engine, handlers, is_broken):
    [handler] = handlers[MESSAGE]

    def fails(connection, claimed, now_us):
        if is_broken:
            raise LookupError
        return handler(connection, claimed, now_us)

    broken = handlers | {MESSAGE: (fails,)}
    return lambda share: Intake(engine, broken, SystemClock(), attempts=1, brake_share=share)


def batch(first, count=100, **others):
    numbers = range(first, first + count)
    return [deliver(said("a", conversation=f"c-{number}"), **others) for number in numbers]


def break_down(intake):
    """Put the brake on by bodies that cannot be read: sooner done than by handlers that fail one by one."""
    assert len(intake.process([deliver(b"{") for _ in range(RECENT_EVENTS)]).rejected) == RECENT_EVENTS


def test_what_comes_after_the_brake_is_held_and_goes_on_by_itself_once_mended(
    make_intake, is_broken, query, capsys
):
    intake = make_intake(0.9)
    break_down(intake)
    held = batch(1000)
    for _ in range(3):
        with pytest.raises(RetryLaterError, match="brake"):
            intake.process(held)
    assert query("SELECT count(*) FROM dead_letters") == [(RECENT_EVENTS,)]
    assert query("SELECT count(*) FROM processed_events") == [(0,)]

    is_broken.clear()
    assert intake.process(held).rejected == frozenset()
    assert query("SELECT count(*), sum(deliveries) FROM processed_events") == [(100, 100)]
    logged = capsys.readouterr().out
    assert logged.count("brake") >= 2


@pytest.mark.parametrize("attempt", [1, 2])
def test_a_bad_event_among_those_held_does_not_hold_it_on(make_intake, is_broken, attempt):
    intake = make_intake(0.9)
    break_down(intake)
    held = [deliver(b"{"), *batch(1000, 1, attempt=attempt)]
    is_broken.clear()
    results = []
    for _ in range(2):
        try:
            results.append(intake.process(held).rejected)
        except RetryLaterError:
            results.append(None)
    assert {held[0].tag} in results


def test_events_known_already_release_nothing_and_are_not_held_by_themselves(make_intake, is_broken, query):
    intake = make_intake(0.9)
    is_broken.clear()
    known = batch(0, 2)
    intake.process(known)
    is_broken.append(True)
    for first in range(100, 100 + RECENT_EVENTS, 100):
        intake.process(batch(first))
    assert intake.process(known).rejected == frozenset()
    with pytest.raises(RetryLaterError):
        intake.process([*known, *batch(1000, 1)])


def test_what_came_back_is_held_too_and_goes_on_by_itself_once_mended(make_intake, is_broken, query):
    """After a held delivery's connection is lost, or its 30 minutes are over, it comes back as a suspect."""
    intake = make_intake(0.9)
    break_down(intake)
    held = batch(1000, 5, attempt=2)
    for _ in range(6):
        with pytest.raises(RetryLaterError, match="brake"):
            intake.process(held)
        # A mark that stood while they are held would make of a worker's restart a kill of theirs.
        assert query("SELECT count(*) FROM suspects") == [(0,)]
    assert query("SELECT count(*) FROM dead_letters") == [(RECENT_EVENTS,)]

    is_broken.clear()
    assert intake.process(held).rejected == frozenset()
    assert query("SELECT count(*), sum(deliveries) FROM processed_events") == [(5, 5)]
    assert query("SELECT count(*) FROM brakes") == [(0,)]


def test_known_events_beside_what_came_back_do_not_let_it_through(make_intake, is_broken, query):
    intake = make_intake(0.9)
    is_broken.clear()
    known = batch(0, 2)
    intake.process(known)
    is_broken.append(True)
    break_down(intake)
    with pytest.raises(RetryLaterError):
        intake.process([*known, *batch(1000, 2, attempt=3)])
    assert query("SELECT count(*) FROM dead_letters") == [(RECENT_EVENTS,)]


def test_what_is_known_poison_or_has_hung_alone_is_done_with_and_holds_nothing_up(
    make_intake, is_broken, engine, query
):
    intake = make_intake(0.9)
    is_broken.clear()
    [known] = batch(0, 1)
    intake.process([known])
    is_broken.append(True)
    break_down(intake)
    for _ in range(2):
        Suspects(engine, SystemClock()).mark("poison")
    [poison] = batch(1000, 1, attempt=4, message_id="poison")
    [hung] = batch(1001, 1)

    assert intake.process([replace(known, attempt=2), poison]).rejected == {poison.tag}
    assert intake.process([replace(hung, hangs=2)]).rejected == {hung.tag}
    codes = "SELECT code FROM dead_letters WHERE code IN ('poison', 'too_slow') ORDER BY code"
    assert query(codes) == [("poison",), ("too_slow",)]
    assert query("SELECT count(*) FROM suspects") == [(0,)]
    with pytest.raises(RetryLaterError):
        intake.process(batch(2000, 1))


def test_poison_among_what_is_held_stays_known_as_such(make_intake, is_broken, engine, query):
    intake = make_intake(0.9)
    break_down(intake)
    for _ in range(2):
        Suspects(engine, SystemClock()).mark("poison")
    held = batch(1000, 1, attempt=4, message_id="poison") + batch(1001, 1, attempt=2)
    for _ in range(3):
        with pytest.raises(RetryLaterError):
            intake.process(held)
    is_broken.clear()
    assert intake.process(held).rejected == {held[0].tag}


def test_dead_letters_that_wait_for_their_record_pass(make_intake, query):
    intake = make_intake(0.9)
    break_down(intake)
    letters = [deliver(b"{", queue=topology.DEAD_LETTER_RECORDS, message_id="m-1")]
    assert intake.process(letters).rejected == {letters[0].tag}


def test_with_a_share_of_one_nothing_is_held(make_intake, query):
    intake = make_intake(1.0)
    break_down(intake)
    assert len(intake.process(batch(1000)).rejected) == 100
