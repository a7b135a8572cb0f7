"""Change an event as a newer platform would, without changing what it tells.

The names are few and fixed, since each new one leaves a drift record for good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random

    from simulator.traffic.event import Payload

OPTIONAL_FIELDS = ("participants", "metadata", "originatingEntity", "isFinalReceipt", "attributes")


def with_unknown_fields(rng: random.Random, payload: Payload) -> Payload:
    """Return *payload* with a field nobody knows, sometimes deeper, a null or an enum value besides."""
    changed = {**payload, "simulatedNewField": {"since": "next release", "values": [1, 2.5, None, True]}}
    if rng.random() < 0.5:  # as often as not
        changed["channel"] = {**payload["channel"], "simulatedNewChannelField": "next release"}
    for name in OPTIONAL_FIELDS:
        if name in payload and rng.random() < 0.5:  # as often as not
            changed[name] = None
    if "routing" in payload and rng.random() < 0.2:  # most transitions shall still count
        changed["routing"] = {**payload["routing"], "status": "CONTACT-TELEPORTED"}
    return changed


def is_identified(payload: Payload) -> bool:
    """Tell whether *payload* is known by an id or a number, whatever else it says."""
    return bool({"id", "sequence"} & payload.keys()) or "id" in payload.get("message", {})


def with_redelivery_note(payload: Payload) -> Payload:
    """Return *payload* as a redelivery that says so in a field of its own: other bytes, the same event."""
    return {**payload, "simulatedRedelivery": True}
