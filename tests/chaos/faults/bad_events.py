"""Inject events that cannot be processed, or whose headers cannot be stored, among good events."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pika

from tests.chaos.behind import DESTINATION
from tests.chaos.broker_view import EXCHANGE
from tests.chaos.scene import Fault, Form
from tests.chaos.waits import MODEST_RATE, Good, is_no_update
from tests.fakes.encoded_header import UNREADABLE, EncodedHeader
from tests.stand.ledger import digest_of
from tests.stand.load import Load
from tests.stand.order import Order
from tests.stand.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene

GOOD_SHARE: Final = 0.05
RARE_SECONDS: Final = 6.0
"""The longest permitted stall in the slow form, which sends a good event only every two seconds."""

BURST: Final = 400
"""How many bad events are sent at once at the start: enough to fill a sliding window of recent events."""

UNKNOWN_TYPE: Final = "openmessaging:conversation:presence"
UNKNOWN: Final = "SELECT count(*) FROM dead_letters WHERE code = 'unknown_event_type'"
DEAD: Final = "SELECT count(*) FROM dead_letters WHERE body_sha256 = :digest"
STORED: Final = "SELECT count(*) FROM processed_events WHERE body_sha256 = :digest"
ROUTING_KEY: Final = "event"
PERSISTENT: Final = 2

HEADERS: Final[dict[str, dict[str, Any]]] = {
    "before 4713 BC": {"received-at-us": -(2**62)},
    "in the year 55840": {"received-at-us": 1_700_000_000_000_000_000},
    "beyond any calendar": {"received-at-us": 2**62},
    "a NUL": {"received-at-us": 1_764_000_000_000_000, "source": "web\0hook", "request-id": "\0"},
    "no text": {"received-at-us": 1_764_000_000_000_000, "source": b"\xed\xa0\xbd", "request-id": b"\xff"},
    "none": {},
}
TYPES: Final = (r"\ud83d", r"\u0000", r"\u202e")
"""Half of an emoji, a NUL and a bidirectional mark. A body can contain them as JSON escapes."""


@contextmanager
def ten_events_a_second_mostly_of_an_unknown_type(scene: Scene) -> Iterator[None]:
    """Send ten events per second, 19 in 20 of which have an unknown type."""
    with _flooded(scene):
        yield


@contextmanager
def many_events_mostly_of_an_unknown_type(scene: Scene) -> Iterator[None]:
    """Send events at the usual rate, but at most 1,000 per second; 19 in 20 have an unknown type."""
    with _flooded(scene):
        yield


@contextmanager
def _flooded(scene: Scene) -> Iterator[None]:
    stand, before = scene.stand, scene.stand.ask(UNKNOWN)
    run = f"{scene.traffic.run}-flood-{len(scene.proofs)}"
    order = Order(
        stand.product.port,
        str(stand.product.directory / run),
        run=run,
        event_type=UNKNOWN_TYPE,
        rate=scene.load.rate * (1 / GOOD_SHARE - 1),
    )
    flood = Load(order)
    try:
        flood.burst(BURST)
        scene.wait_until(lambda: len(flood.answered) >= BURST, f"{BURST} bad events are answered")
        scene.await_proof(
            f"{BURST} bad events were answered 200, some are dead letters",
            lambda: stand.ask(UNKNOWN) > before,
        )
        yield
        flood.stop()
    finally:
        flood.kill()
        bodies = list(map(Traffic(run, UNKNOWN_TYPE).body, flood.answered))
        scene.ledger.note_answered(bodies)
        for body in bodies:
            scene.ledger.expect_dead_letter(body)


@contextmanager
def headers_that_cannot_be_stored(scene: Scene) -> Iterator[None]:
    """Publish valid and malformed events whose headers SQL cannot store or Python cannot decode."""
    stand = scene.stand
    kinds = len(HEADERS) + len(UNREADABLE)
    sound, doomed = scene.extra_bodies(kinds), scene.doomed_bodies(kinds)
    strange = [_of_type(scene, kind) for kind in TYPES]
    named = [pika.BasicProperties(headers=headers, delivery_mode=PERSISTENT) for headers in HEADERS.values()]
    unreadable = [EncodedHeader(value) for value in UNREADABLE.values()]
    pairs = list(zip([*sound, *doomed], [*named, *unreadable] * 2, strict=True))
    _publish(scene, pairs)
    scene.post_all(strange)
    scene.prove(f"the broker took {len(pairs)} events with {kinds} kinds of headers")
    yield
    ends = {STORED: sound, DEAD: [*doomed, *strange]}
    for question, bodies in ends.items():
        for body in bodies:
            digest = digest_of(body)
            scene.wait_until(lambda q=question, d=digest: stand.ask(q, digest=d), f"{body!r} is recorded")


def _of_type(scene: Scene, kind: str) -> bytes:
    """Return an event whose type contains *kind*, and record that it must become a dead letter."""
    (body,) = scene.extra_bodies(1)
    strange = body.replace(b"openmessaging:conversation:", f"openmessaging:{kind}:".encode(), 1)
    scene.ledger.expect_dead_letter(strange)
    return strange


def _publish(scene: Scene, pairs: list[tuple[bytes, pika.BasicProperties]]) -> None:
    """Publish each body with its properties, and wait for the broker to confirm each."""
    connection = pika.BlockingConnection(pika.URLParameters(scene.stand.view.amqp_url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        for number, (body, properties) in enumerate(pairs):
            properties.message_id = f"{scene.traffic.run}-{number}\0"
            channel.basic_publish(EXCHANGE, ROUTING_KEY, body, properties, mandatory=True)
    finally:
        connection.close()
    scene.ledger.note_answered(body for body, _ in pairs)


FAULTS: Final = (
    Fault(
        35,
        "flood of an unknown type",
        (
            Form(
                ten_events_a_second_mostly_of_an_unknown_type,
                (30.0, 35.0),
                stall=RARE_SECONDS,
                good=Good(1.0, rate=10.0, share=GOOD_SHARE),
            ),
            Form(
                many_events_mostly_of_an_unknown_type,
                (20.0, 25.0),
                good=Good(1.0, rate=1000.0, share=GOOD_SHARE),
            ),
        ),
    ),
    Fault(
        40,
        "headers that cannot be stored",
        (
            Form(
                headers_that_cannot_be_stored,
                (10.0, 12.0),
                good=Good(2.0, is_no_update, DESTINATION, MODEST_RATE),
            ),
        ),
        rounds=1,
        stands=("behind",),
    ),
)
