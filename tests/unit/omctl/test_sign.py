"""omctl sign: a header that the platform's own documentation would accept."""

import subprocess

from click.testing import CliRunner

from omctl.develop.signature import sign

# Computed with openssl: printf %s '{"text":"Hi 👋"}' | openssl dgst -sha256 -hmac SECRET -binary | base64
BODY = '{"text":"Hi 👋"}'.encode()
SECRET = "constructed-secret-0123456789"


def openssl_signature(body):
    digest = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", SECRET, "-binary"],
        input=body,
        capture_output=True,
        check=True,
    )
    return (
        subprocess.run(["base64"], input=digest.stdout, capture_output=True, check=True)
        .stdout.decode()
        .strip()
    )


def run(*arguments, body=BODY, secrets=SECRET):
    return CliRunner().invoke(sign, arguments, input=body, env={"OM_WEBHOOK_SECRETS": secrets})


def test_the_newest_secret_signs_the_bytes_as_they_are():
    result = run("-", secrets=f"{SECRET},older-secret-0123456789")
    assert result.output == f"X-Hub-Signature-256: sha256={openssl_signature(BODY)}\n"


def test_a_curl_line_posts_exactly_the_signed_bytes(tmp_path):
    body = tmp_path / "it's a body.json"
    body.write_bytes(BODY + b"\n")
    line = run(str(body), "--curl", "http://127.0.0.1:8080/x").output
    assert f"sha256={openssl_signature(BODY + bytes([10]))}" in line
    words = subprocess.run(["sh", "-c", f"printf '%s\\n' {line}"], capture_output=True, check=True, text=True)
    assert words.stdout.splitlines()[-2:] == ["--data-binary", f"@{body}"]
