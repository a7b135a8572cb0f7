"""Explain an invalid signature by trying common mistakes, and write a curl command with a signature."""

import base64
import hmac
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

import click

from messaging.environment import Environment
from messaging.errors import ConfigurationError
from webhook_api import signature

SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
PREFIX: Final = signature.PREFIX.decode()

RESERIALISED: Final = "the body was parsed and written again: verify the bytes as they arrived"
TEXT_TOOL: Final = "an editor, a shell or a text mode changed the bytes: save and send them in binary"
KEY: Final = "the key is the text of the secret token itself, in UTF-8, as both sides typed it"


def live_secrets(environment: Environment) -> tuple[bytes, ...]:
    """Return the secrets in OM_WEBHOOK_SECRETS (at least one), newest first. Senders sign with the first."""
    secrets = environment.strings("OM_WEBHOOK_SECRETS")
    if not secrets:
        raise ConfigurationError("OM_WEBHOOK_SECRETS is not set: use the secrets of the edge, newest first")
    return tuple(secret.encode() for secret in secrets)


def curl_line(url: str, value: str, body: bytes, path: str | None, headers: Mapping[str, str]) -> str:
    """Return a curl command that posts *body*, or the file at *path*, with its signature and *headers*."""
    sent = {SIGNATURE_HEADER: value, "Content-Type": "application/json", **headers}
    fields = [word for name, text in sent.items() for word in ("-H", f"{name}: {text}")]
    try:
        data = ["--data-binary", f"@{path}"] if path else ["--data-raw", body.decode()]
    except UnicodeDecodeError:
        text = "This body is not UTF-8 text and cannot be pasted: use a file instead of standard input."
        raise click.UsageError(text) from None
    return shlex.join(["curl", "-sS", "-i", url, *fields, *data])


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Whether a signature is valid and, if not, why: the secret's number, the mistakes and their remedies."""

    is_genuine: bool
    secret: int | None
    findings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()


class _Variant(NamedTuple):
    """A body, key or digest that the sender might have used, and the mistake behind it, if any."""

    value: bytes
    finding: str = ""
    remedy: str = ""


def diagnose(body: bytes, header: str, secrets: Sequence[bytes]) -> Diagnosis:
    """Explain why *header* is, or is not, the signature of *body*; *secrets* are newest first."""
    digests, bodies = list(_digests(header)), list(_bodies(body))
    for number, secret in enumerate(secrets, start=1):
        variants_of_all = product(digests, bodies, _keys(secret))
        for variants in sorted(variants_of_all, key=lambda all_: sum(bool(one.finding) for one in all_)):
            digest, signed, key = variants
            if hmac.compare_digest(hmac.digest(key.value, signed.value, "sha256"), digest.value):
                wrong = [variant for variant in variants if variant.finding]
                findings = tuple(variant.finding for variant in wrong)
                return Diagnosis(not wrong, number, findings, tuple(variant.remedy for variant in wrong))
    finding, remedy = _explain_header(header, [digest.value for digest in digests])
    return Diagnosis(is_genuine=False, secret=None, findings=(finding,), remedies=(remedy,))


def _digests(header: str) -> Iterator[_Variant]:
    """Yield each digest that the sender might have meant by *header*."""
    bare = header.strip().strip("\"'")
    encoded = bare.removeprefix(PREFIX)
    findings = []
    if bare != header:
        findings.append("the header has spaces or quotes around it")
    if not bare.startswith(PREFIX):
        findings.append(f"the prefix {PREFIX} is missing")
    padded = encoded.rstrip("=") + "=" * (-len(encoded.rstrip("=")) % 4)
    inner = _decode(encoded)
    for digest, finding in (
        (inner, ""),
        (_decode(encoded, bytes.fromhex), "the digest is written in hex instead of base64"),
        (_decode(padded), "the base64 has lost its padding (=)"),
        (
            _decode(padded.replace("-", "+").replace("_", "/")),
            "the signature uses base64's URL-safe alphabet (- and _ instead of + and /)",
        ),
        (
            inner and _decode(inner.decode("ascii", "replace"), bytes.fromhex),
            "the digest was encoded in hex before base64",
        ),
    ):
        if digest is not None:
            wrong = "; ".join(filter(None, [*findings, finding]))
            yield _Variant(digest, wrong, f"the sender must write {PREFIX} and then base64" if wrong else "")


def _decode(text: str, decode: Callable[[str], bytes] | None = None) -> bytes | None:
    try:
        return decode(text) if decode else base64.b64decode(text, validate=True)
    except ValueError:
        return None


def _bodies(body: bytes) -> Iterator[_Variant]:
    """Yield *body*, and then the bodies that the sender might have signed instead."""
    yield _Variant(body)
    for other, finding in (
        (body.removesuffix(b"\n"), "this body has a newline at its end that was not signed"),
        (body.removesuffix(b"\r\n"), "this body has a line end (CR LF) that was not signed"),
        (body + b"\n", "the newline at the end of the signed body is missing here"),
        (body.strip(), "this body has white space around it that was not signed"),
        (body.removeprefix(b"\xef\xbb\xbf"), "this body begins with a byte order mark that was not signed"),
        (body.replace(b"\r\n", b"\n"), "this body has CR LF where the signed one has LF"),
        (body.replace(b"\n", b"\r\n"), "this body has LF where the signed one has CR LF"),
    ):
        if other != body:
            yield _Variant(other, finding, TEXT_TOOL)
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
        if (other := text.encode("utf-8", "surrogatepass")) != body:
            yield _Variant(other, "the signature is of the same JSON, serialised differently", RESERIALISED)


def _keys(secret: bytes) -> Iterator[_Variant]:
    """Yield *secret*, and then the keys that the sender might have derived from it by mistake."""
    yield _Variant(secret)
    text = secret.decode("utf-8", "replace")
    for other, finding in (
        (secret + b"\n", "the sender's secret has a newline at its end"),
        (secret.strip(), "our secret has white space around it that the sender's does not have"),
        (secret.strip(b"\"'"), "our secret has quotes around it that the sender's does not have"),
        (b'"%b"' % secret, "the sender's secret has quotes around it"),
        (_decode(text), "the sender decoded the secret from base64"),
        (_decode(text, bytes.fromhex), "the sender decoded the secret from hex"),
        (base64.b64encode(secret), "the sender encoded the secret in base64"),
    ):
        if other and other != secret:
            yield _Variant(other, finding, KEY)


def _explain_header(header: str, digests: Sequence[bytes]) -> tuple[str, str]:
    """Return a finding and a remedy for a header that no combination of known mistakes explains."""
    remedy = f"the sender must write {PREFIX} and then the base64 of the HMAC-SHA256 of the body"
    if not header.strip():
        proxy = "let the proxy pass X-Hub-Signature-256 through"
        return "there is no signature", f"configure the secret token at the sender, and {proxy}"
    if header.lower().startswith("sha1="):
        return "the signature uses SHA-1", remedy
    if not digests:
        return "the header is neither base64 nor hex", remedy
    if all(len(digest) != signature.DIGEST_BYTES for digest in digests):
        cut = "it was truncated, or another algorithm was used"
        return f"the digest does not have the 32 bytes of SHA-256: {cut}", remedy
    remedy = (
        "compare the secret token of the integration with OM_WEBHOOK_SECRETS, and use the body as it "
        "arrived at the edge: something on the way may have changed it"
    )
    return "no configured secret and no known change to the body explains it", remedy
