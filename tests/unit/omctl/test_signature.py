"""omctl sign prints the header that the platform would send; explain-signature explains each mistake."""

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
# The secret and the body of this test vector are constructed; the digest was computed with openssl.
VECTOR = (
    '{"id":"d7d58935af65a45e5234ac77de017a0a","channel":{"platform":"Open","type":"Private",'
    '"time":"2025-06-10T21:03:12.427Z"},"type":"Text","text":"Hi 👋","direction":"Outbound"}'
).encode()
DOCUMENT = json.loads(VECTOR)
BASE64 = "yeFvHE+UdEQgs/T83z7Qie71YfCVJxGoRCfWqXI3HqQ="
HEX = "c9e16f1c4f94744420b3f4fcdf3ed089eef561f0952711a84427d6a972371ea4"


def run(body, header, *options, secrets=SECRET):
    arguments = ["-", "--header", header, *options]
    return CliRunner().invoke(explain_signature, arguments, input=body, env={"OM_WEBHOOK_SECRETS": secrets})


def header(body, key=b"constructed-secret-0123456789"):
    return f"sha256={base64.b64encode(hmac.digest(key, body, hashlib.sha256)).decode()}"


@pytest.mark.parametrize(
    ("secrets", "number"), [(SECRET, "1 {} (the newest)"), (f"{OLDER},{SECRET}", "2 {}")]
)
def test_a_genuine_signature_is_reported_with_the_secret_that_signed(secrets, number):
    result = run(VECTOR, f"sha256={BASE64}", secrets=secrets)
    secret = number.format("of OM_WEBHOOK_SECRETS")
    assert (result.exit_code, result.output) == (0, f"genuine: signed with secret {secret}\n")


SAME_JSON = "same JSON, serialised differently"


@pytest.mark.parametrize(
    ("body", "seen", "findings"),
    [
        (VECTOR, f"sha256={HEX}", ["hex instead of base64"]),
        (VECTOR, BASE64, ["prefix sha256= is missing"]),
        (VECTOR, HEX, ["hex instead of base64"]),
        (VECTOR, f"sha256={BASE64.rstrip('=')}", ["lost its padding"]),
        (VECTOR, f"sha256={BASE64.replace('/', '_').replace('+', '-')}", ["URL-safe alphabet"]),
        (VECTOR, f'"sha256={BASE64}"', ["spaces or quotes"]),
        (VECTOR, f"sha256={base64.b64encode(HEX.encode()).decode()}", ["in hex before base64"]),
        (VECTOR, "", ["there is no signature"]),
        (VECTOR, "sha1=2jmj7l5rSw0yVb/vlWAYkK/YBwk=", ["SHA-1"]),
        (VECTOR, "sha256=?", ["neither base64 nor hex"]),
        (VECTOR, f"sha256={BASE64[:20]}", ["does not have the 32 bytes"]),
        (VECTOR, header(VECTOR, b"quite another secret"), ["no configured secret"]),
        (VECTOR + b"\n", f"sha256={BASE64}", ["a newline at its end that was not signed"]),
        (VECTOR + b"\n", f"sha256={HEX}", ["a newline at its end", "hex instead of base64"]),
        (VECTOR + b"\r\n", f"sha256={BASE64}", ["CR LF"]),
        (b"\xef\xbb\xbf" + VECTOR, f"sha256={BASE64}", ["byte order mark"]),
        (b" " + VECTOR, f"sha256={BASE64}", ["space around it"]),
        (json.dumps(DOCUMENT).encode(), f"sha256={BASE64}", [SAME_JSON]),
        (json.dumps(DOCUMENT, separators=(",", ":")).encode(), f"sha256={BASE64}", [SAME_JSON]),
        (json.dumps(DOCUMENT, indent=2, ensure_ascii=False).encode(), f"sha256={BASE64}", [SAME_JSON]),
    ],
)
def test_a_wrong_header_or_a_changed_body_is_explained(body, seen, findings):
    result = run(body, seen)
    assert result.exit_code == 1
    assert [finding for finding in findings if finding not in result.output] == []


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
def test_a_different_form_of_the_secret_is_explained(ours, theirs, finding):
    diagnosis = diagnose(VECTOR, header(VECTOR, theirs), [ours])
    assert not diagnosis.is_genuine
    assert finding in diagnosis.findings[0]


def test_the_json_output_identifies_the_secret_only_by_its_number():
    result = run(VECTOR, HEX, "--json", secrets=f"{OLDER},{SECRET}")
    found = json.loads(result.output)
    assert (found["is_genuine"], found["secret"]) == (False, 2)
    assert not [secret for secret in (OLDER, SECRET) if secret in result.output]


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[" * 100_000, b'{"a":"\\ud800"}'])
def test_any_body_can_be_diagnosed(body):
    assert diagnose(body, header(body), [SECRET.encode()]).is_genuine
    assert not diagnose(body, f"sha256={BASE64}", [SECRET.encode()]).is_genuine


def openssl_signature(body):
    command = ["sh", "-c", f"openssl dgst -sha256 -hmac {SECRET} -binary | base64"]
    return subprocess.run(command, input=body, capture_output=True, check=True).stdout.decode().strip()


def test_the_newest_secret_signs_the_bytes_unchanged():
    result = CliRunner().invoke(sign, ["-"], input=VECTOR, env={"OM_WEBHOOK_SECRETS": f"{SECRET},{OLDER}"})
    assert result.output == f"X-Hub-Signature-256: sha256={openssl_signature(VECTOR)}\n"


def test_the_curl_line_posts_exactly_the_signed_bytes(tmp_path):
    body = tmp_path / "it's a body.json"
    body.write_bytes(VECTOR + b"\n")
    arguments = [str(body), "--curl", "http://127.0.0.1:8080/x"]
    line = CliRunner().invoke(sign, arguments, env={"OM_WEBHOOK_SECRETS": SECRET}).output
    assert f"sha256={openssl_signature(VECTOR + bytes([10]))}" in line
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, check=True, text=True)
    assert words.stdout.splitlines()[-2:] == ["--data-binary", f"@{body}"]
