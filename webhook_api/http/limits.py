"""Say what one process grants its senders, and how many descriptors it may use for them."""

from __future__ import annotations

import resource
from dataclasses import dataclass, replace
from typing import Final

from messaging.log import logger

RESERVED_DESCRIPTORS: Final = 64
"""For the journal, the broker, the listeners and refusals in progress; connections get the rest."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one process grants its senders.

    Args:
        body_bytes: Of a request's body.
        request_seconds: From a request's first byte to its last.
        keepalive_seconds: How long an idle connection stays open.
        connections: Open at once; one more is answered 503.
    """

    body_bytes: int
    request_seconds: float
    keepalive_seconds: float
    connections: int


def raise_descriptor_limit() -> int:
    """Raise this process's soft limit of open files to the hard one; return it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A hardened unit may not call this at all; systemd has set both to one value there.
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def within_descriptors(limits: Limits, descriptors: int) -> Limits:
    """Return limits under which connections leave descriptors for everything else.

    Args:
        limits: What the settings grant.
        descriptors: The limit of open files; RLIM_INFINITY for none.
    """
    room = max(1, descriptors - RESERVED_DESCRIPTORS)
    if descriptors == resource.RLIM_INFINITY or limits.connections <= room:
        return limits
    logger().warning("connections_limited", connections=room, reason="the limit of open files is lower")
    return replace(limits, connections=room)
