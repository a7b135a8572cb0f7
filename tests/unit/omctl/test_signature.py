"""omctl sign and explain-signature: a header as the platform documents it, and each mistake by its name."""

import base64
import hashlib
import hmac
import json
import subprocess

import pytest
from click.testing import CliRunner

from omctl.develop.signature import explain_signature, sign
from omctl.signatures import diagnose

SECRET = "constructed-secret-0123456789"
OLDER = "older-secret-0123456789abcdef"
# A constructed vector: the secret and the body are made up, the digest was computed with openssl.
VECTOR = (
    '{"id":"d7d58935af65a45e5234ac77de017a0a","channel":{"id":"e6b352de-ecd0-49c7-94de-7787418869bc",'
    '"platform":"Open","type":"Private","to":{"id":"user-1","idType":"Opaque"},"from":{"nickname":"Demo",'
    '"id":"e6b352de-ecd0-49c7-94de-7787418869bc","idType":"Opaque"},"time":"2025-06-10T21:03:05.427Z",'
    '"messageId":"d7d58935af65a45e5234ac77de017a0a"},"type":"Text","text":"Hi 👋",'
    '"originatingEntity":"Human","direction":"Outbound",'
    '"conversationId":"5d0d331e-d2a8-4fb5-96f7-7021bef2a8ee"}'
).encode()
DOCUMENT = json.loads(VECTOR)
BASE64 = "zj0Sxr8Qpd5K1nDIoaLZbcMUR1KrosMvX/i6xp+XQyA="
HEX = "ce3d12c6bf10a5de4ad670c8a1a2d96dc3144752aba2c32f5ff8bac69f974320"


def run(body, header, *options, secrets=SECRET):
    return CliRunner().invoke(
        explain_signature,
        ["-", "--header", header, *options],
        input=body,
        env={"OM_WEBHOOK_SECRETS": secrets},
    )


def header(body, key=b"constructed-secret-0123456789"):
    return f"sha256={base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()}"


@pytest.mark.parametrize(("secrets", "which"), [(SECRET, "1 {} (the newest)"), (f"{OLDER},{SECRET}", "2 {}")])
def test_the_platforms_own_signature_is_genuine_and_its_secret_is_named(secrets, which):
    result = run(VECTOR, f"sha256={BASE64}", secrets=secrets)
    named = which.format("of OM_WEBHOOK_SECRETS")
    assert (result.exit_code, result.output) == (0, f"genuine: signed with secret {named}\n")


SAME_JSON = "same JSON written in another way"


@pytest.mark.parametrize(
    ("body", "seen", "finding"),
    [
        (VECTOR, f"sha256={HEX}", "hex instead of base64"),
        (VECTOR, f"sha256={HEX.upper()}", "hex instead of base64"),
        (VECTOR, BASE64, "prefix sha256= is missing"),
        (VECTOR, HEX, "hex instead of base64"),
        (VECTOR, f"sha256={BASE64.rstrip('=')}", "lost its padding"),
        (VECTOR, f"sha256={BASE64.replace('/', '_').replace('+', '-')}", "URL-safe alphabet"),
        (VECTOR, f'"sha256={BASE64}"', "spaces or quotes"),
        (VECTOR, f"sha256={base64.b64encode(HEX.encode()).decode()}", "in hex, and that in base64"),
        (VECTOR, "", "there is no signature"),
        (VECTOR, "sha1=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "SHA-1"),
        (VECTOR, "sha256=?", "neither base64 nor hex"),
        (VECTOR, f"sha256={BASE64[:20]}", "does not have the 32 bytes"),
        (VECTOR, header(VECTOR, b"quite another secret"), "no configured secret"),
        (VECTOR + b"\n", f"sha256={BASE64}", "a newline at its end that was not signed"),
        (VECTOR + b"\r\n", f"sha256={BASE64}", "CR LF"),
        (b"\xef\xbb\xbf" + VECTOR, f"sha256={BASE64}", "byte order mark"),
        (b" " + VECTOR, f"sha256={BASE64}", "space around it"),
        (json.dumps(DOCUMENT).encode(), f"sha256={BASE64}", SAME_JSON),
        (json.dumps(DOCUMENT, separators=(",", ":")).encode(), f"sha256={BASE64}", SAME_JSON),
        (json.dumps(DOCUMENT, indent=2, ensure_ascii=False).encode(), f"sha256={BASE64}", SAME_JSON),
    ],
)
def test_a_wrong_header_or_a_changed_body_is_explained(body, seen, finding):
    result = run(body, seen)
    assert result.exit_code == 1
    assert finding in result.output


@pytest.mark.parametrize(
    ("ours", "theirs", "finding"),
    [
        (b"secret", b"secret\n", "newline at its end"),
        (b"secret ", b"secret", "space around it"),
        (b'"secret"', b"secret", "our secret has quotes"),
        (b"secret", b'"secret"', "the sender's secret has quotes"),
        (base64.b64encode(b"\xffsecret"), b"\xffsecret", "decoded the secret from base64"),
        (b"ab12", bytes.fromhex("ab12"), "decoded the secret from hex"),
        (b"secret", base64.b64encode(b"secret"), "encoded the secret in base64"),
    ],
)
def test_another_form_of_the_secret_is_explained(ours, theirs, finding):
    diagnosis = diagnose(VECTOR, header(VECTOR, theirs), [ours])
    assert not diagnosis.is_genuine
    assert finding in diagnosis.findings[0]


def test_two_mistakes_at_once_are_both_named():
    digest = hmac.digest(SECRET.encode(), VECTOR, hashlib.sha256).hex()
    diagnosis = diagnose(VECTOR + b"\n", f"sha256={digest}", [SECRET.encode()])
    assert len(diagnosis.findings) == 2
    assert "hex" in diagnosis.findings[0]
    assert "newline" in diagnosis.findings[1]


def test_the_json_shows_no_secret():
    result = run(VECTOR, HEX, "--json", secrets=f"{OLDER},{SECRET}")
    found = json.loads(result.output)
    assert (found["is_genuine"], found["secret"]) == (False, 2)
    assert OLDER not in result.output
    assert SECRET not in result.output


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a":"\\ud800"}'])
def test_every_body_can_be_diagnosed(body):
    assert diagnose(body, header(body), [SECRET.encode()]).is_genuine
    assert not diagnose(body, f"sha256={BASE64}", [SECRET.encode()]).is_genuine


# Computed with openssl: printf %s '{"text":"Hi 👋"}' | openssl dgst -sha256 -hmac SECRET -binary | base64
TEXT = '{"text":"Hi 👋"}'.encode()


def openssl_signature(body):
    command = ["sh", "-c", f"openssl dgst -sha256 -hmac {SECRET} -binary | base64"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode().strip()


def test_the_newest_secret_signs_the_bytes_as_they_are():
    result = CliRunner().invoke(sign, ["-"], input=TEXT, env={"OM_WEBHOOK_SECRETS": f"{SECRET},{OLDER}"})
    assert result.output == f"X-Hub-Signature-256: sha256={openssl_signature(TEXT)}\n"


def test_a_curl_line_posts_exactly_the_signed_bytes(tmp_path):
    body = tmp_path / "it's a body.json"
    body.write_bytes(TEXT + b"\n")
    arguments = [str(body), "--curl", "http://127.0.0.1:8080/x"]
    line = CliRunner().invoke(sign, arguments, env={"OM_WEBHOOK_SECRETS": SECRET}).output
    assert f"sha256={openssl_signature(TEXT + bytes([10]))}" in line
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, check=True, text=True)
    assert words.stdout.splitlines()[-2:] == ["--data-binary", f"@{body}"]
