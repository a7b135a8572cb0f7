"""Inject faults into the broker's exchanges, queues, bindings and permissions."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.chaos.broker_view import DEAD_LETTERS, EVENTS, EVERYTHING, RECORDS
from tests.chaos.faults.broker import CLOSE_ALL
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.chaos.scene import Scene

NEARLY_EMPTY = 200
"""The maximum number of deliveries in the queue when it is deleted.

Events that have waited there for long are no longer in the journal, so they would be lost with the queue.
"""

MALFORMED = 20
POLICY = "policies/%2F/chaos"
LIMIT = 50


@contextmanager
def the_exchange_is_deleted(scene: Scene) -> Iterator[None]:
    """Delete the exchange to which the edge publishes."""
    with _taken_away(scene, "exchanges/%2F/open-messaging"):
        yield


@contextmanager
def the_queue_is_deleted(scene: Scene) -> Iterator[None]:
    """Delete the events queue while it has consumers."""
    scene.let_catch_up(NEARLY_EMPTY)
    with _taken_away(scene, f"queues/%2F/{EVENTS}"):
        yield


@contextmanager
def the_binding_is_deleted(scene: Scene) -> Iterator[None]:
    """Delete the binding. Events then go to the alternate exchange, whose queue the workers also consume."""
    stand = scene.stand
    logs = [worker.log for worker in stand.workers]
    starts = [log.stat().st_size for log in logs]

    def is_told() -> bool:
        rests = (log.read_bytes()[start:] for log, start in zip(logs, starts, strict=True))
        return any(b"deliveries_unrouted" in rest for rest in rests)

    stand.view.unbind_events()
    bindings = stand.view.request("GET", f"bindings/%2F/e/open-messaging/q/{EVENTS}").json()
    scene.prove("the broker lists no binding", has_struck=not bindings)
    scene.wait_until(is_told, "a worker says that events come unrouted")
    yield
    stand.product.omctl("setup")


@contextmanager
def a_policy_is_removed(scene: Scene) -> Iterator[None]:
    """Apply a policy to the queue, and remove it again. The safety of events must not depend on policies."""
    view = scene.stand.view
    policy = {"pattern": EVENTS, "definition": {"delivery-limit": LIMIT}, "apply-to": "queues"}
    view.request("PUT", POLICY, policy).raise_for_status()
    scene.wait_until(lambda: _effective(scene).get("delivery-limit") == LIMIT, "the policy is in force")
    scene.wait(0.5, 2.0)
    view.request("DELETE", POLICY).raise_for_status()
    scene.await_proof(
        "the policy was in force and is gone", lambda: "delivery-limit" not in _effective(scene)
    )
    yield
    (doomed,) = scene.doomed_bodies(1)
    before = view.depth(DEAD_LETTERS)
    scene.post_all([doomed])
    scene.wait_until(lambda: view.depth(DEAD_LETTERS) > before, "dead letters are kept without any policy")


@contextmanager
def the_permissions_are_removed(scene: Scene) -> Iterator[None]:
    """Remove the user's permissions in the virtual host, close its connections, and restore them later."""
    stand, view = scene.stand, scene.stand.view
    view.request("DELETE", view.permissions).raise_for_status()
    stand.broker.evaluate(CLOSE_ALL)
    scene.prove("the user has no rights", has_struck=not view.exists(view.permissions))
    scene.wait_until(lambda: not stand.product.is_connected(1), "the edge reports that the broker is away")
    yield
    view.request("PUT", view.permissions, EVERYTHING).raise_for_status()


@contextmanager
def the_dead_letter_exchange_is_deleted(scene: Scene) -> Iterator[None]:
    """Dead-letter events while the dead-letter exchange is missing."""
    with _buried(scene, f"exchanges/%2F/{DEAD_LETTERS}"):
        yield


@contextmanager
def the_dead_letter_queue_is_deleted(scene: Scene) -> Iterator[None]:
    """Dead-letter events while the dead-letter queue is missing."""
    with _buried(scene, f"queues/%2F/{DEAD_LETTERS}"):
        yield


@contextmanager
def the_queue_of_their_records_is_deleted(scene: Scene) -> Iterator[None]:
    """Dead-letter events while the queue from which dead letters are recorded is missing."""
    with _buried(scene, f"queues/%2F/{RECORDS}"):
        yield


@contextmanager
def _taken_away(scene: Scene, path: str) -> Iterator[None]:
    product = scene.stand.product
    _delete(scene, path)
    scene.wait_until(lambda: not product.is_connected(), "the edge reports that it is not connected")
    scene.wait_until(lambda: product.health().get("problems"), "the health report names a problem")
    yield
    product.omctl("setup")


@contextmanager
def _buried(scene: Scene, path: str) -> Iterator[None]:
    stand, view = scene.stand, scene.stand.view
    if path.endswith(DEAD_LETTERS):
        # The dead letters in the queue are deleted with it. The service is not responsible for keeping them.
        buried = [body for body in view.bodies(DEAD_LETTERS) if digest_of(body) in scene.ledger.doomed]
        scene.ledger.excuse_all(buried)
    _delete(scene, path)
    bodies = scene.doomed_bodies(MALFORMED)
    scene.post_all(bodies)
    yield
    assert stand.product.omctl("check", check=False).returncode != 0, "omctl check finds nothing wrong"
    stand.product.omctl("setup")
    scene.wait_until(
        lambda: set(bodies) <= set(view.bodies(DEAD_LETTERS)),
        f"{MALFORMED} dead letters were held and are delivered now",
    )


def _delete(scene: Scene, path: str) -> None:
    view = scene.stand.view
    view.request("DELETE", path).raise_for_status()
    scene.prove(f"the broker knows no {path.rpartition('/')[2]} any more", has_struck=not view.exists(path))


def _effective(scene: Scene) -> dict[str, object]:
    """Return the effective policy of the events queue, which is empty once the policy is removed."""
    found = scene.stand.view.queue(EVENTS).get("effective_policy_definition") or {}
    return dict(found)
