"""Inject faults at one destination that must not delay other events: refusals, slow answers, an old file."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from simulator.platform import Fault as Failing
from tests.chaos.behind import ARCHIVE, DESTINATION, TIMEOUT_SECONDS, payload_of
from tests.chaos.faults.behind import behind_of, misbehaving, wait_told
from tests.chaos.proxy import Weather
from tests.chaos.scene import Fault, Form
from tests.chaos.waits import EVERY, MODEST_RATE, Good, is_message, is_spared
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from simulator.receiver import ReceivedEvent
    from tests.chaos.scene import Scene

MIN_REFUSED: Final = 5
"""The number of refused conversations that proves the strike. If that many conversations got no response at
all, the destination would count as down."""

DEADLINE_SECONDS: Final = 2 * TIMEOUT_SECONDS + 2.0
"""The longest time that a request may take: twice the time limit, plus two seconds for a busy machine."""

DEAD: Final = (
    "SELECT count(*) FROM deliveries WHERE outcome = 'dead' AND destination = :name AND status = :status"
)

WAITING: Final = (
    "SELECT count(*) FROM deliveries WHERE outcome IS NULL AND destination = :name AND status = :status"
)


@contextmanager
def some_events_are_mostly_refused(scene: Scene) -> Iterator[None]:
    """Answer the events of nine in ten conversations with 422, at ten events per second."""
    with _mostly_refused(scene, 422):
        yield


@contextmanager
def many_events_are_mostly_refused(scene: Scene) -> Iterator[None]:
    """Answer the events of nine in ten conversations with 422, at up to 60 events per second."""
    with _mostly_refused(scene, 422):
        yield


@contextmanager
def many_events_are_mostly_not_found(scene: Scene) -> Iterator[None]:
    """Answer the events of nine in ten conversations with 404, so that each of them is tried three times."""
    with _mostly_refused(scene, 404):
        yield


@contextmanager
def _mostly_refused(scene: Scene, status: int) -> Iterator[None]:
    refused: set[str] = set()
    is_over = False

    def refuse(told: ReceivedEvent) -> Failing | None:
        run, _, number = told.conversation_id.rpartition("-")
        if told.destination != DESTINATION or run != scene.traffic.run or int(number) % EVERY == 0:
            return None
        digest = digest_of(payload_of(told))
        if is_over and digest not in scene.ledger.refused:
            return None
        scene.ledger.refused.add(digest)
        refused.add(told.conversation_id)
        return Failing(status)

    with misbehaving(behind_of(scene), refuse):
        scene.await_proof(
            f"{MIN_REFUSED} conversations and more were answered {status}",
            lambda: len(refused) >= MIN_REFUSED,
        )
        yield
        is_over = True
        scene.wait_until(
            lambda: scene.stand.ask(WAITING, name=DESTINATION, status=status) == 0,
            f"every event that was answered {status} is a dead letter",
        )


@contextmanager
def all_is_answered_401(scene: Scene) -> Iterator[None]:
    """Answer every event with 401, as after a secret is rotated, until the destination is repaired."""
    with _all_refused(scene, 401):
        yield


@contextmanager
def all_is_answered_404(scene: Scene) -> Iterator[None]:
    """Answer every event with 404, as during a deployment, until the destination is repaired."""
    with _all_refused(scene, 404):
        yield


@contextmanager
def _all_refused(scene: Scene, status: int) -> Iterator[None]:
    behind = behind_of(scene)
    refused: set[str] = set()
    # An earlier strike that refused most events (but not all) with this status might have left dead letters.
    dead = scene.stand.ask(DEAD, name=DESTINATION, status=status)

    def refuse(told: ReceivedEvent) -> Failing | None:
        if told.destination != DESTINATION:
            return None
        refused.add(told.webhook_id)
        return Failing(status)

    with misbehaving(behind, refuse):
        scene.await_proof(f"events were answered {status}", lambda: refused)
        yield
    assert scene.stand.ask(DEAD, name=DESTINATION, status=status) == dead, (
        "an event that was refused like all others is a dead letter"
    )
    scene.wait_until(
        lambda: refused <= {told.webhook_id for told in behind.inbox.accepted_by(DESTINATION)},
        "what was refused is delivered once that is mended",
    )


@contextmanager
def the_answers_drip(scene: Scene) -> Iterator[None]:
    """Make one destination answer byte by byte, with each byte within the time limit for a single read."""
    behind = behind_of(scene)
    proxy = behind.receiver_proxy
    proxy.dripped.clear()
    before = proxy.struck[Weather.DRIP_ANSWERS]
    proxy.weather = Weather.DRIP_ANSWERS
    scene.await_proof("answers drip", lambda: proxy.struck[Weather.DRIP_ANSWERS] > before)
    yield
    proxy.weather = Weather.FAIR
    scene.wait_until(lambda: proxy.dripped, "an answer that dripped has ended")
    longest = max(proxy.dripped)
    assert longest <= DEADLINE_SECONDS, f"a request was held for {longest:.0f} s"
    wait_told(behind)


@contextmanager
def a_host_starts_with_an_older_file(scene: Scene) -> Iterator[None]:
    """Restart one of the two deliver processes with a destinations file that lacks one destination."""
    behind = behind_of(scene)
    program = behind.of("deliver")[-1]
    usual = program.environment["OM_DESTINATIONS"]
    program.reconfigure(OM_DESTINATIONS=str(behind.older_file))
    pid = program.pid

    def has_registered() -> bool:
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
        return str(behind.older_file) in environment and _has_started(program.log)

    scene.await_proof(f"{program.name} runs with the older file", has_registered)
    try:
        yield
    finally:
        program.reconfigure(OM_DESTINATIONS=usual)


def _has_started(log: Path) -> bool:
    return log.read_text(encoding="utf-8").count("role_started") > 1


def _good_messages(counts: Callable[[int], bool] = is_message) -> Good:
    return Good(2.0, counts, ARCHIVE, MODEST_RATE)


FAULTS: Final = (
    Fault(
        36,
        "destination refuses or drips",
        (
            Form(
                some_events_are_mostly_refused,
                (25.0, 30.0),
                good=Good(2.0, is_spared, DESTINATION, rate=10.0),
            ),
            Form(
                many_events_are_mostly_refused,
                (10.0, 15.0),
                good=Good(2.0, is_spared, DESTINATION, 2 * MODEST_RATE),
            ),
            Form(
                many_events_are_mostly_not_found,
                (10.0, 15.0),
                good=Good(2.0, is_spared, DESTINATION, 2 * MODEST_RATE),
            ),
            Form(all_is_answered_401, (10.0, 15.0), good=_good_messages()),
            Form(all_is_answered_404, (10.0, 15.0), good=_good_messages()),
            Form(the_answers_drip, (12.0, 15.0), good=_good_messages()),
        ),
        stands=("behind",),
    ),
    Fault(
        37,
        "older destinations file",
        (Form(a_host_starts_with_an_older_file, (10.0, 15.0), good=_good_messages()),),
        rounds=1,
        stands=("behind",),
    ),
)
