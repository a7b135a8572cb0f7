"""Make distinct, signed events of one size, as whole HTTP requests in a file.

Every request has the same length, so that a load generator finds the next one without parsing: duplicates
would make the intake look fast, and building requests on the fly would measure the generator. Conversation
ids are random UUIDs, as the platform's are: they scatter over an index, which is the costly case.
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
"""Bytes: about a text message in the guide's envelope with its participants."""

EVENTS_PER_CONVERSATION: Final = 10
FIRST: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)

_HEAD: Final = (
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    f"User-Agent: bench\r\nContent-Length: {BODY_BYTES}\r\nX-Hub-Signature-256: "
)
_KINDS: Final = ("new", "message", "message", "updated", "message", "message", "message", "updated")
"""The start of a conversation; messages follow. The two updates queue and route it."""


@dataclass(frozen=True, slots=True)
class RequestFile:
    """Requests of one length, one after the other.

    Args:
        path: The file.
        size: Bytes of each request.
        count: How many there are.
    """

    path: Path
    size: int
    count: int

    def bodies(self, count: int, first: int = 0) -> list[bytes]:
        """Return the bodies of some requests, by default of the first."""
        with self.path.open("rb") as file:
            file.seek(first * self.size)
            return [file.read(self.size)[-BODY_BYTES:] for _ in range(count)]


def write_requests(path: Path, bodies: Iterator[bytes]) -> RequestFile:
    """Write one signed request per body."""
    count = 0
    with path.open("wb") as file:
        for body in bodies:
            file.write(f"{_HEAD}{sign(body, SECRET)}\r\n\r\n".encode() + body)
            count += 1
    size, rest = divmod(path.stat().st_size, count)
    assert not rest, "requests differ in length"
    return RequestFile(path, size, count)


def bodies(count: int, seed: str) -> Iterator[bytes]:
    """Yield the events of conversations of ten: new, messages, queued, messages, routed, messages.

    Args:
        count: How many events.
        seed: What the conversation ids are drawn from.
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
    """Return the bytes before and after the text that fills the body up."""
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
