"""omctl sign, omctl explain-signature: sign a body, and explain why a signature is not valid."""

from dataclasses import asdict
from typing import BinaryIO

import click

from messaging.environment import Environment
from omctl.interface import Command, json_option, show_json
from omctl.signatures import SIGNATURE_HEADER, Diagnosis, curl_line, diagnose, live_secrets
from webhook_api import signature
from webhook_api.settings import parse_headers


@click.command(cls=Command)
@click.argument("file", type=click.File("rb"))
@click.option("--curl", "url", metavar="URL", help="Print a curl line that posts the body to URL.")
@json_option
def sign(file: BinaryIO, url: str | None) -> None:
    """Print the X-Hub-Signature-256 header for the bytes of FILE ("-": standard input).

    The newest secret in OM_WEBHOOK_SECRETS is used. All bytes are signed, including a trailing newline.

    Examples:
      omctl sign event.json
      printf %s '{"eventType":"x"}' | omctl sign -
      omctl sign event.json --curl http://127.0.0.1:8080/webhooks/genesys/openmessaging
    """
    environment = Environment()
    body = file.read()
    value = signature.sign(body, live_secrets(environment)[0])
    if show_json({"header": SIGNATURE_HEADER, "value": value}):
        return
    if not url:
        click.echo(f"{SIGNATURE_HEADER}: {value}")
        return
    path = None if file.name == "<stdin>" else file.name
    headers = dict(parse_headers(environment.strings("OM_REQUIRED_HEADERS")))
    click.echo(curl_line(url, value, body, path, headers))


@click.command("explain-signature", cls=Command)
@click.argument("file", type=click.File("rb"))
@click.option(
    "--header", required=True, metavar="VALUE", help="The value of X-Hub-Signature-256, as it arrived."
)
@json_option
def explain_signature(file: BinaryIO, header: str) -> None:
    """Show whether a signature is genuine for the bytes of FILE ("-": standard input) and, if not, why not.

    This tries each secret in OM_WEBHOOK_SECRETS with the mistakes that senders, proxies and programs make:
    hex instead of base64, a missing prefix, a body that was parsed and written again, a newline at its end,
    a secret that was decoded first. Exit status 1: the edge would refuse the signature. No secret is shown.

    Examples:
      omctl explain-signature body.json --header 'sha256=zj0Sxr8Qpd5K1nDIoaLZbcMUR1KrosMvX/i6xp+XQyA='
      omctl explain-signature - --header "$(cat header.txt)" < body.json
    """
    diagnosis = diagnose(file.read(), header, live_secrets(Environment()))
    if not show_json(asdict(diagnosis)):
        click.echo("\n".join(_describe(diagnosis)))
    if not diagnosis.is_genuine:
        raise SystemExit(1)


def _describe(diagnosis: Diagnosis) -> list[str]:
    newest = " (the newest)" if diagnosis.secret == 1 else ""
    secret = f"secret {diagnosis.secret} of OM_WEBHOOK_SECRETS{newest}"
    if diagnosis.is_genuine:
        return [f"genuine: signed with {secret}"]
    lines = [f"not genuine: this {SIGNATURE_HEADER} is refused with 401"]
    if diagnosis.secret:
        lines.append(f"signed with {secret}, but:")
    for finding, remedy in zip(diagnosis.findings, diagnosis.remedies, strict=True):
        lines += [f"  - {finding}", f"    {remedy}"]
    return lines
