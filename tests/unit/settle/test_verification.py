import pytest

from workers.genesys import PlatformState
from workers.parsing import ALERTING, ENDED
from workers.parsing.events import QUEUED, ROUTED
from workers.settle.plan import PendingEvent, Position
from workers.settle.verification import Verdict, describe_state, seconds_until_next_ask, verify

SUPPORT, SALES = "3fa85f64-5717-4562-b3fc-2c963f66afa6", "9b2d1c57-0e6f-4c43-8a1b-5d7e2f3a4b6c"


def routed(status, queue=None):
    return PendingEvent(Position(10, 0, 0, 10), status, queue)


@pytest.mark.parametrize(
    ("status", "queue", "platform", "name", "agrees"),
    [
        (QUEUED, None, PlatformState(QUEUED), QUEUED, True),
        (QUEUED, None, PlatformState(ROUTED), ROUTED, False),
        (ROUTED, None, PlatformState(ROUTED), ROUTED, True),
        (ROUTED, None, PlatformState(ALERTING), ALERTING, True),
        (ROUTED, None, PlatformState(QUEUED), QUEUED, False),
        (ROUTED, None, PlatformState(ENDED), ENDED, False),
        (ALERTING, None, PlatformState(ROUTED), ROUTED, True),
        (QUEUED, None, PlatformState(None), "NONE", False),
        (QUEUED, None, None, "UNKNOWN", False),
        ("CONTACT-PARKED", None, PlatformState(QUEUED), QUEUED, True),
        (QUEUED, SUPPORT, PlatformState(QUEUED, SALES), f"{QUEUED} in {SALES}", False),
        (QUEUED, SUPPORT, PlatformState(QUEUED, SUPPORT.upper()), QUEUED, True),
        (QUEUED, SUPPORT, PlatformState(QUEUED), QUEUED, True),
        (QUEUED, None, PlatformState(QUEUED, SALES), QUEUED, True),
        # A queue's name cannot be compared with another queue's id, so it does not contradict the id.
        (QUEUED, "Support", PlatformState(QUEUED, SALES), QUEUED, True),
        (QUEUED, SUPPORT, PlatformState(QUEUED, "sales"), QUEUED, True),
        # A contact that has been routed has left its routing queue.
        (ROUTED, SUPPORT, PlatformState(ROUTED, SALES), ROUTED, True),
        (QUEUED, SUPPORT, PlatformState(ROUTED, SALES), ROUTED, False),
    ],
)
def test_an_update_is_confirmed_only_if_the_platform_agrees(status, queue, platform, name, agrees):
    update = routed(status, queue)
    assert describe_state(update, platform) == name
    assert verify(update, platform, 5.0) == (Verdict.CONFIRMED if agrees else Verdict.CONTRADICTED)


@pytest.mark.parametrize(
    ("age", "verdict"),
    [
        (-0.1, Verdict.ASK_AGAIN),
        (0.0, Verdict.ASK_AGAIN),
        (4.99, Verdict.ASK_AGAIN),
        (5.0, Verdict.CONTRADICTED),
        (15.0, Verdict.CONTRADICTED),
        (15.1, Verdict.TOO_LATE),
        (600.0, Verdict.TOO_LATE),
    ],
)
def test_a_contradiction_counts_only_five_to_fifteen_seconds_after_the_update(age, verdict):
    for platform in (PlatformState(QUEUED), None):
        assert verify(routed(ROUTED), platform, age) == verdict
    assert verify(routed(ROUTED), PlatformState(ROUTED), age) is Verdict.CONFIRMED


@pytest.mark.parametrize(
    ("age", "delay", "seconds"),
    [(-1, 0, 3), (0, 0, 2), (1.5, 0, 0.5), (2, 0, 3), (5, 0, 5), (300, 0, 300), (0, 30, 30), (100, 30, 100)],
)
def test_an_update_is_verified_at_two_and_five_seconds_and_then_at_growing_intervals(age, delay, seconds):
    assert seconds_until_next_ask(age, delay) == pytest.approx(seconds)
