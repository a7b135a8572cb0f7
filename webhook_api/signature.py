"""Verify the platform's signature over the raw bytes of a body."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import Final

HEADER: Final = "x-hub-signature-256"
PREFIX: Final = b"sha256="
DIGEST_BYTES: Final = 32


class SignatureVerifier:
    """The live secrets, each with its key schedule computed once.

    Args:
        secrets: Newest first; a body signed with any of them is genuine, so that one can be rotated.

    Source:
        Genesys Cloud, "Validate webhook notifications": base64, not hex, of HMAC-SHA256 over the body.
    """

    __slots__ = ("_keyed",)

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._keyed = [hmac.new(secret, digestmod="sha256") for secret in secrets]

    def is_genuine(self, body: bytes, header: bytes) -> bool:
        """Compare in constant time, as bytes: a non-ASCII header must not raise.

        Args:
            body: The request's body, undecoded.
            header: The value of `X-Hub-Signature-256`; empty when it was missing.
        """
        genuine = False
        for keyed in self._keyed:
            mac = keyed.copy()
            mac.update(body)
            expected = PREFIX + binascii.b2a_base64(mac.digest(), newline=False)
            genuine |= hmac.compare_digest(expected, header)
        return genuine


def sign(body: bytes, secret: bytes) -> str:
    """Return the header value that the platform would send for *body*."""
    digest = hmac.digest(secret, body, "sha256")
    return (PREFIX + base64.b64encode(digest)).decode()


def explain(header: bytes) -> str:
    """Say why a header was refused, in words for a log line, without repeating it."""
    if not header:
        return "signature missing"
    if not header.startswith(PREFIX):
        return "signature without the prefix sha256="
    encoded = header[len(PREFIX) :]
    if len(encoded) == 2 * DIGEST_BYTES and all(byte in b"0123456789abcdefABCDEF" for byte in encoded):
        return "signature is hex where base64 is expected"
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        return "signature is not base64"
    if len(decoded) != DIGEST_BYTES:
        return "signature truncated"
    return "signature does not match: wrong secret, or the body was re-serialised on its way"
