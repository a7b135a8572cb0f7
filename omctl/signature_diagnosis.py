"""Find out why a signature does not hold, by trying the mistakes that people make."""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Final

from webhook_api import signature

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

PREFIX: Final = signature.PREFIX.decode()

RESERIALISED: Final = "what you verify was parsed and written again: verify the bytes as they arrived"
TEXT_TOOL: Final = "an editor, a shell or a text mode changed the bytes: save and send them in binary"
KEY: Final = "the key is the text of the secret token itself, in UTF-8, as both sides typed it"


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was found.

    Args:
        is_genuine: Whether the edge would let the request in.
        secret: Which of the secrets signed, from 1, the newest; None where none did.
        findings: What was wrong, in words, the likeliest first; empty where it is genuine.
        remedies: What to do about each.
    """

    is_genuine: bool
    secret: int | None
    findings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Form:
    """A way to see one of the three: body, key or header; the first of each list is the right one."""

    value: bytes
    finding: str = ""
    remedy: str = ""


def diagnose(body: bytes, header: str, secrets: Sequence[bytes]) -> Diagnosis:
    """Explain what makes *header* the signature of *body*, or keeps it from being that.

    Args:
        body: As it arrived, undecoded.
        header: The value of X-Hub-Signature-256; empty where there was none.
        secrets: Newest first.
    """
    headers = list(_headers(header))
    bodies = list(_bodies(body))
    for number, secret in enumerate(secrets, start=1):
        for form, key, seen in sorted(product(bodies, _keys(secret), headers), key=_mistakes):
            if hmac.compare_digest(hmac.digest(key.value, form.value, "sha256"), seen.value):
                wrong = [each for each in (seen, form, key) if each.finding]
                return Diagnosis(
                    is_genuine=not wrong,
                    secret=number,
                    findings=tuple(each.finding for each in wrong),
                    remedies=tuple(each.remedy for each in wrong),
                )
    return Diagnosis(is_genuine=False, secret=None, findings=(_shape(header),), remedies=(_advice(header),))


def _mistakes(forms: tuple[_Form, ...]) -> int:
    return sum(bool(each.finding) for each in forms)


def _headers(header: str) -> Iterator[_Form]:
    """Yield the digests that a header may have been meant to be."""
    bare = header.strip().strip("\"'")
    encoded = bare.removeprefix(PREFIX)
    findings = []
    if bare != header:
        findings.append("the header has spaces or quotes around it")
    if not bare.startswith(PREFIX):
        findings.append(f"the prefix {PREFIX} is missing")
    for decode, finding in _DECODERS:
        digest = decode(encoded)
        if digest is not None:
            wrong = "; ".join([*findings, finding] if finding else findings)
            yield _Form(digest, wrong, f"the sender must write {PREFIX} and then base64" if wrong else "")


def _base64(encoded: str) -> bytes | None:
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError):
        return None


def _padded(encoded: str) -> bytes | None:
    return _base64(encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4))


def _url_safe(encoded: str) -> bytes | None:
    return _padded(encoded.replace("-", "+").replace("_", "/"))


def _hex(encoded: str) -> bytes | None:
    try:
        return bytes.fromhex(encoded)
    except ValueError:
        return None


def _base64_of_hex(encoded: str) -> bytes | None:
    decoded = _base64(encoded)
    return _hex(decoded.decode("ascii", "replace")) if decoded is not None else None


_DECODERS: Final[tuple[tuple[Callable[[str], bytes | None], str], ...]] = (
    (_base64, ""),
    (_hex, "the digest is written in hex instead of base64"),
    (_padded, "the base64 has lost its padding (=)"),
    (_url_safe, "the base64 is of the URL-safe alphabet (- and _ instead of + and /)"),
    (_base64_of_hex, "the digest was written in hex, and that in base64"),
)


def _bodies(body: bytes) -> Iterator[_Form]:
    """Yield the bodies that may have been signed where this one was not."""
    yield _Form(body)
    for other, finding in (
        (body.removesuffix(b"\n"), "this body has a newline at its end that was not signed"),
        (body.removesuffix(b"\r\n"), "this body has a line end (CR LF) that was not signed"),
        (body + b"\n", "the newline at the end of the signed body is missing here"),
        (body.strip(), "this body has space around it that was not signed"),
        (body.removeprefix(b"\xef\xbb\xbf"), "this body begins with a byte order mark that was not signed"),
        (body.replace(b"\r\n", b"\n"), "this body has CR LF where the signed one has LF"),
        (body.replace(b"\n", b"\r\n"), "this body has LF where the signed one has CR LF"),
    ):
        if other != body:
            yield _Form(other, finding, TEXT_TOOL)
    for other in _written_again(body):
        if other != body:
            yield _Form(other, "the signature is of the same JSON written in another way", RESERIALISED)


def _written_again(body: bytes) -> Iterator[bytes]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return
    for separators, is_ascii, indent, is_sorted in product(
        ((",", ":"), (", ", ": ")), (False, True), (None, 2, 4), (False, True)
    ):
        text = json.dumps(
            value, separators=separators, ensure_ascii=is_ascii, indent=indent, sort_keys=is_sorted
        )
        yield text.encode("utf-8", "surrogatepass")


def _keys(secret: bytes) -> Iterator[_Form]:
    """Yield the keys that a sender may have made of a secret."""
    yield _Form(secret)
    for other, finding in (
        (secret + b"\n", "the sender's secret has a newline at its end"),
        (secret.strip(), "our secret has space around it that the sender's has not"),
        (secret.strip(b"\"'"), "our secret has quotes around it that the sender's has not"),
        (b'"%b"' % secret, "the sender's secret has quotes around it"),
        (_base64(secret.decode("utf-8", "replace")), "the sender decoded the secret from base64"),
        (_hex(secret.decode("utf-8", "replace")), "the sender decoded the secret from hex"),
        (base64.b64encode(secret), "the sender encoded the secret in base64"),
    ):
        if other and other != secret:
            yield _Form(other, finding, KEY)


def _shape(header: str) -> str:
    """Return what can be said of a header that no mistake explains."""
    if not header.strip():
        return "there is no signature"
    if header.lower().startswith("sha1="):
        return "the signature is of SHA-1"
    digests = [form.value for form in _headers(header)]
    if not digests:
        return "the header is neither base64 nor hex"
    if all(len(digest) != signature.DIGEST_BYTES for digest in digests):
        return "the digest has not the 32 bytes of SHA-256: it was cut, or another algorithm made it"
    return "no secret that is configured here, and no change of the body that is known, explains it"


def _advice(header: str) -> str:
    if not header.strip():
        return "configure the secret token at the sender, and let the proxy pass X-Hub-Signature-256 through"
    if _shape(header).startswith("no secret"):
        return (
            "compare the secret token of the integration with OM_WEBHOOK_SECRETS, and take the body as it "
            "arrived at the edge: something on the way may have changed it"
        )
    return f"the sender must write {PREFIX} and then the base64 of the HMAC-SHA256 of the body"
