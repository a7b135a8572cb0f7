"""A signature is valid if it is the base64 HMAC of the raw body with a current secret."""

import base64
import hmac

import pytest

from tests import services
from webhook_api.signature import SignatureVerifier, explain, secret_id, sign

SECRET = services.SECRET.encode()
OLD_SECRET = b"constructed-secret-of-last-month"
BODY, SIGNATURE = services.SIGNED, services.SIGNATURE.encode()


def test_a_precomputed_signature_is_valid():
    assert SignatureVerifier((SECRET,)).is_genuine(BODY, SIGNATURE)
    assert sign(BODY, SECRET).encode() == SIGNATURE


@pytest.mark.parametrize("size", [1, 63, 64, 65, 200])
def test_the_hmac_is_correct_for_keys_of_any_length(size):
    secret = bytes(range(1, size + 1))
    assert SignatureVerifier((secret,)).is_genuine(BODY, sign(BODY, secret).encode())


def test_both_secrets_are_valid_during_a_rotation_and_their_uses_are_counted():
    verifier = SignatureVerifier((SECRET, OLD_SECRET))
    for secret in (OLD_SECRET, SECRET, OLD_SECRET, b"unknown"):
        verifier.is_genuine(BODY, sign(BODY, secret).encode())
    assert verifier.verified == [1, 2]


def test_the_id_of_a_secret_is_short_and_does_not_reveal_the_secret():
    assert secret_id(SECRET) == secret_id(SECRET) != secret_id(OLD_SECRET)
    assert len(secret_id(SECRET)) == 8
    assert secret_id(SECRET) not in SECRET.hex()


HEX = b"sha256=" + hmac.digest(SECRET, BODY, "sha256").hex().encode()
RE_SERIALISED = sign(BODY.replace(b'","', b'", "'), SECRET).encode()


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (b"", "missing"),
        (SIGNATURE.removeprefix(b"sha256="), "prefix"),
        (b"sha1=" + SIGNATURE.removeprefix(b"sha256="), "prefix"),
        (HEX, "hex"),
        (SIGNATURE[:-4], "wrong length"),
        (b"sha256=" + base64.b64encode(b"short"), "wrong length"),
        (b"sha256=\xff\xfe", "not base64"),
        (sign(BODY, OLD_SECRET).encode(), "wrong secret"),
        (RE_SERIALISED, "re-serialised"),
        (SIGNATURE + b"\n", "not base64"),
    ],
)
def test_an_invalid_signature_is_refused_with_its_reason(header, reason):
    assert not SignatureVerifier((SECRET,)).is_genuine(BODY, header)
    assert reason in explain(header)


def test_no_signature_is_valid_if_no_secret_is_set():
    assert not SignatureVerifier(()).is_genuine(BODY, SIGNATURE)
    assert not SignatureVerifier(()).is_genuine(b"", b"")
