"""Inject faults into the platform's API: it lags behind its notifications, has no budget, or returns 403."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tests.chaos.behind import DESTINATION
from tests.chaos.faults.behind import behind_of
from tests.chaos.scene import Fault, Form
from tests.chaos.waits import EVERY, MODEST_RATE, Good, is_no_update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene
    from tests.chaos.stand import Stand

FORBIDDEN: Final = 5
"""The platform answers with 403 about each conversation whose number ends in this digit."""

# Settle must not give up on updates that the platform can still decide. This time is therefore longer than
# the time for which the fault exhausts the platform's budget.
GIVE_UP: Final = {"OM_ROUTING_GIVE_UP_SECONDS": "45"}
USUAL: Final = {"OM_ROUTING_GIVE_UP_SECONDS": "600"}
AGE_MS: Final = """
    SELECT 1000 * extract(epoch FROM now() - min(waits_since)) FROM routing_updates
    WHERE conversation_id = :id
"""
"""Selects how many milliseconds ago the platform notified us of a conversation's first update. In this
simulation, a later update does not change the platform's answer about the conversation."""

MIN_ANSWERS: Final = 3
MAX_REFUSED_PER_SECOND: Final = 2.0
"""The highest rate at which two processes send requests if each obeys a Retry-After of one second."""


@contextmanager
def giving_up_soon(stand: Stand) -> Iterator[None]:
    """Make settle give up on undecided updates after 45 seconds instead of ten minutes."""
    assert stand.behind is not None
    for program in stand.behind.of("settle"):
        program.reconfigure(**GIVE_UP)
    try:
        yield
    finally:
        for program in stand.behind.of("settle"):
            program.reconfigure(**USUAL)


@contextmanager
def the_platform_lags(scene: Scene) -> Iterator[None]:
    """Make the platform respond with 404 or an old state for up to 3 s. No true update may be superseded."""
    contacts = behind_of(scene).contacts
    before = len(contacts.lagged)
    contacts.notified_seconds_ago = lambda of: scene.stand.ask(AGE_MS, id=of) / 1000
    contacts.lagging = scene.chance
    try:
        yield
        scene.await_proof(
            "it answered with a state that was past", lambda: len(contacts.lagged) >= before + MIN_ANSWERS
        )
    finally:
        contacts.lagging = None


@contextmanager
def the_platform_is_out_of_budget(scene: Scene) -> Iterator[None]:
    """Make the platform answer every request with 429. No process may repeat a request too early."""
    organisation = behind_of(scene).organisation
    before, began = organisation.refused, time.monotonic()
    organisation.is_out_of_budget = True
    scene.await_proof("it answered 429", lambda: organisation.refused > before)
    try:
        yield
    finally:
        organisation.is_out_of_budget = False
    refused, seconds = organisation.refused - before, time.monotonic() - began
    most = MIN_ANSWERS + MAX_REFUSED_PER_SECOND * seconds
    assert refused <= most, f"{refused} requests in {seconds:.0f} s without a budget"


@contextmanager
def the_platform_forbids_some(scene: Scene) -> Iterator[None]:
    """Make the platform answer all requests about one conversation in ten with 403, permanently."""
    contacts, run = behind_of(scene).contacts, scene.traffic.run
    before = contacts.forbidden
    contacts.is_forbidden = lambda conversation_id: (
        conversation_id.startswith(run) and int(conversation_id.rpartition("-")[2]) % EVERY == FORBIDDEN
    )
    scene.await_proof(
        f"it answered 403 {MIN_ANSWERS} times", lambda: contacts.forbidden >= before + MIN_ANSWERS
    )
    yield


_GOOD: Final = Good(2.0, is_no_update, DESTINATION, MODEST_RATE)

FAULTS: Final = (
    Fault(
        38,
        "platform lags, has no budget, forbids",
        (
            Form(the_platform_lags, (15.0, 20.0), good=_GOOD),
            Form(the_platform_is_out_of_budget, (15.0, 20.0), good=_GOOD),
            Form(the_platform_forbids_some, (15.0, 20.0), good=_GOOD),
        ),
        stands=("behind",),
        arrange=giving_up_soon,
    ),
)
