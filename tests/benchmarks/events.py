"""Write distinct, signed events of one size to a file, as whole HTTP requests.

The events are distinct, because duplicates would make intake look fast. They are prepared in advance, because
otherwise a measurement would include the load generator's work. Every request has the same length, so that
the generator finds the next request without parsing. Conversation ids are random UUIDs, as on the platform;
they are scattered over an index, which makes inserts as expensive as possible.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final
from uuid import UUID

from tests.stand.product import SECRET
from webhook_api.application import WEBHOOK_PATH
from webhook_api.signature import sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BODY_BYTES: Final = 550
"""The size of a body: about that of a text message with its participants in the guide's envelope."""

EVENTS_PER_CONVERSATION: Final = 10
FIRST: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)

_HEAD: Final = (
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    f"User-Agent: bench\r\nContent-Length: {BODY_BYTES}\r\nX-Hub-Signature-256: "
)
_KINDS: Final = ("new", "message", "message", "updated", "message", "message", "message", "updated")
"""A conversation's first events; only messages follow. The two updates queue and route the conversation."""


@dataclass(frozen=True, slots=True)
class RequestFile:
    """A file of consecutive requests, all of the same length.

    Args:
        path: The file.
        size: The length of each request in bytes.
        count: The number of requests.
    """

    path: Path
    size: int
    count: int

    def bodies(self, count: int, first: int = 0) -> list[bytes]:
        """Return the bodies of *count* requests, starting with number *first*."""
        with self.path.open("rb") as file:
            file.seek(first * self.size)
            return [file.read(self.size)[-BODY_BYTES:] for _ in range(count)]


def write_requests(path: Path, bodies: Iterator[bytes]) -> RequestFile:
    """Write one signed request for each body."""
    count = 0
    with path.open("wb") as file:
        for body in bodies:
            file.write(f"{_HEAD}{sign(body, SECRET)}\r\n\r\n".encode() + body)
            count += 1
    size, rest = divmod(path.stat().st_size, count)
    assert not rest, "requests differ in length"
    return RequestFile(path, size, count)


def bodies(count: int, seed: str) -> Iterator[bytes]:
    """Yield ten events per conversation: its start, messages, and two updates (queued and routed).

    Args:
        count: The number of events.
        seed: The seed from which the conversation ids are drawn.
    """
    chance = random.Random(seed)
    for number in range(count):
        conversation, position = divmod(number, EVENTS_PER_CONVERSATION)
        if not position:
            conversation_id = UUID(int=chance.getrandbits(128), version=4)
        kind = _KINDS[position] if position < len(_KINDS) else "message"
        moment = FIRST + timedelta(seconds=conversation % 1_000_000, milliseconds=137 * position)
        envelope = (
            f'{{"eventType":"openmessaging:conversation:{kind}",'
            f'"conversationId":"{conversation_id}",'
            f'"timestamp":"{moment.isoformat(timespec="milliseconds")[:-6]}Z",'
            '"channel":{"type":"custom","externalId":"custom-social-channel-01",'
            '"name":"Custom Social Integration"},'
        )
        yield _padded(envelope, _details(kind, conversation, position))


def _details(kind: str, conversation: int, position: int) -> tuple[str, str]:
    """Return the two parts of a body that surround its padding text."""
    customer = f"ext:customer:{conversation:06d}"
    if kind == "message":
        before = (
            f'"message":{{"id":"{conversation:024x}{position:08x}","direction":"inbound","from":"{customer}"'
        )
        return f'{before},"text":"', '"}}'
    if kind == "updated":
        status = "CONTACT-QUEUED" if position < len(_KINDS) // 2 else "CONTACT-ROUTED"
        routing = f'"routing":{{"status":"{status}","queueId":"queue-{conversation % 7}"}}'
        return f'{routing},"attributes":{{"note":"', '"}}'
    participant = f'{{"id":"{customer}","role":"customer","address":{{"name":"Constructed"}}}}'
    return f'"participants":[{participant}],"metadata":{{"platformOrigin":"', '"}}'


def _padded(envelope: str, details: tuple[str, str]) -> bytes:
    before, after = details
    text = ("Where is my parcel? " * 20)[: BODY_BYTES - len(envelope) - len(before) - len(after)]
    return f"{envelope}{before}{text}{after}".encode()
