"""Compare the deliveries that a simulated destination accepted with those that were due."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from tests.chaos.behind import PURPOSES, payload_of
from tests.stand.ledger import digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from simulator.receiver import ReceivedEvent

MESSAGE: Final = b'"eventType":"openmessaging:conversation:message"'
UPDATED: Final = "openmessaging:conversation:updated"
NOT_NOTIFIED: Final = b"null"


@dataclass(frozen=True, slots=True)
class TellTale:
    """The result of comparing a run's events with their deliveries.

    Args:
        lost: The number of events that the destination should have accepted but never did.
        repeated: How often the destination accepted an event again under a different id.
        complaint: All other problems, in one line; empty if there are none.
    """

    lost: int
    repeated: int
    complaint: str


def tell_tale(
    bodies: Iterable[bytes],
    taken: Sequence[ReceivedEvent],
    said: Mapping[str, AbstractSet[str]],
    kept_back: AbstractSet[bytes],
    refused: AbstractSet[bytes] = frozenset(),
) -> TellTale:
    """Compare a destination's deliveries with the events of a run.

    Args:
        bodies: The events that took effect, as they were sent.
        taken: The events that the destination answered with 2xx, in order.
        said: All answers of the platform about each conversation.
        kept_back: Digests of the updates that are recorded as superseded or undecided.
        refused: Digests of the events that the destination permanently refused.
    """
    ids: dict[bytes, set[str]] = {}
    for each in taken:
        ids.setdefault(payload_of(each), set()).add(each.webhook_id)
    lost = against = unasked = 0
    for body in bodies:
        is_told, event, digest = body in ids, json.loads(body), digest_of(body)
        allowed = _platform_agreed(event, said), _platform_objected(event, said)
        against += is_told and not allowed[0]
        lost += not (is_told or digest in refused or (allowed[1] and digest in kept_back))
        unasked += digest in kept_back and not allowed[1]
    excess = sum(len(of_one) - 1 for payload, of_one in ids.items() if payload != NOT_NOTIFIED)
    complaints = {
        "{} contradicted updates were delivered": against,
        "{} updates were kept back and not contradicted": unasked,
        "{} deliveries came out of order": _disordered(taken),
        "{} ids were used for two events": _ambiguous(taken),
    }
    words = "; ".join(form.format(count) for form, count in complaints.items() if count)
    return TellTale(lost, excess + _sessions_twice(taken), words)


def _platform_agreed(event: Mapping[str, Any], said: Mapping[str, AbstractSet[str]]) -> bool:
    """Return whether the event may be delivered. If it is an update, the platform must have confirmed it."""
    if event["eventType"] != UPDATED:
        return True
    return bool(said.get(event["conversationId"], set()) & PURPOSES[event["routing"]["status"]])


def _platform_objected(event: Mapping[str, Any], said: Mapping[str, AbstractSet[str]]) -> bool:
    """Return whether the event may be kept back: it must be an update that the platform contradicted."""
    if event["eventType"] != UPDATED:
        return False
    return bool(said.get(event["conversationId"], set()) - PURPOSES[event["routing"]["status"]])


def missing_at(taken: Iterable[ReceivedEvent], bodies: Iterable[bytes]) -> int:
    """Return how many messages a destination never accepted."""
    known = set(map(payload_of, taken))
    return sum(MESSAGE in body and body not in known for body in bodies)


def _disordered(taken: Iterable[ReceivedEvent]) -> int:
    """Return how many deliveries came after a newer delivery of the same conversation.

    A delivery is newer if its sequence is higher or, unless the older is marked late, its timestamp is later.
    """
    newest: dict[str, tuple[int, str]] = {}
    known: set[str] = set()
    disordered = 0
    for each in taken:
        if each.webhook_id in known:
            continue
        known.add(each.webhook_id)
        sequence, moment = newest.get(each.conversation_id, (0, ""))
        now = str(each.body["timestamp"])
        disordered += each.sequence < sequence or (now < moment and not each.late)
        newest[each.conversation_id] = max(sequence, each.sequence), max(moment, now)
    return disordered


def _ambiguous(taken: Iterable[ReceivedEvent]) -> int:
    raws: dict[str, set[bytes]] = {}
    for each in taken:
        raws.setdefault(each.webhook_id, set()).add(each.raw)
    return sum(len(of_one) > 1 for of_one in raws.values())


def _sessions_twice(taken: Iterable[ReceivedEvent]) -> int:
    """Return the number of repeated deliveries of conversation starts that the platform did not report."""
    sessions = {(each.conversation_id, each.webhook_id) for each in taken if payload_of(each) == NOT_NOTIFIED}
    ids = Counter(conversation_id for conversation_id, _ in sessions)
    return sum(count - 1 for count in ids.values())
