"""Make distinct, signed events of one size, as whole HTTP requests in a file.

Every request has the same length, so that a load generator finds the next one without parsing: duplicates
would make the intake look fast, and building requests on the fly would measure the generator.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from webhook_api.routes import WEBHOOK_PATH
from webhook_api.signature import SignatureVerifier, sign

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET: Final = b"constructed-secret-for-measurements"
BODY_BYTES: Final = 550
"""About a text message in the guide's envelope with its participants."""

EVENTS_PER_CONVERSATION: Final = 10
FIRST: Final = datetime(2026, 1, 5, 8, tzinfo=UTC)

_HEAD: Final = (
    " HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    f"User-Agent: bench\r\nContent-Length: {BODY_BYTES}\r\nX-Hub-Signature-256: "
)
_KINDS: Final = ("new", "message", "message", "updated", "message", "message", "message", "updated")
"""The start of a conversation; what follows are messages. The two updates queue and route it."""


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


def write_requests(file_path: Path, bodies: Iterator[bytes], *, path: str = WEBHOOK_PATH) -> RequestFile:
    """Write one signed request per body, for the path of the webhook or another."""
    assert SignatureVerifier((SECRET,)).is_genuine(b"x", sign(b"x", SECRET).encode())
    count = 0
    with file_path.open("wb") as file:
        for body in bodies:
            request = f"POST {path}{_HEAD}{sign(body, SECRET)}\r\n\r\n".encode() + body
            file.write(request)
            count += 1
    size = file_path.stat().st_size // count
    assert size * count == file_path.stat().st_size, "requests differ in length"
    return RequestFile(file_path, size, count)


def bodies(count: int, series: int) -> Iterator[bytes]:
    """Yield the events of conversations of ten: new, messages, queued, messages, routed, messages.

    Args:
        count: How many events.
        series: Events of two series are never the same.
    """
    for number in range(count):
        conversation, position = divmod(number, EVENTS_PER_CONVERSATION)
        kind = _KINDS[position] if position < len(_KINDS) else "message"
        moment = FIRST + timedelta(seconds=conversation % 1_000_000, milliseconds=137 * position)
        envelope = (
            f'{{"eventType":"openmessaging:conversation:{kind}",'
            f'"conversationId":"{series:08x}-0000-4000-8000-{conversation:012x}",'
            f'"timestamp":"{moment.isoformat(timespec="milliseconds")[:-6]}Z",'
            '"channel":{"type":"custom","externalId":"custom-social-channel-01",'
            '"name":"Custom Social Integration"},'
        )
        yield _padded(envelope, _details(kind, conversation, position))


def _details(kind: str, conversation: int, position: int) -> tuple[str, str]:
    """Return what stands before and after the text that fills the body up."""
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


def body_of(request: bytes) -> bytes:
    """Return the body of a request of such a file."""
    return request[-BODY_BYTES:]


def is_well_formed(body: bytes) -> bool:
    """Tell whether a body is JSON of the intended size."""
    return len(body) == BODY_BYTES and isinstance(json.loads(body), dict)
