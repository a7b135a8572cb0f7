"""omctl sign: print the signature header for a body."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from messaging.environment import Environment
from omctl.console import print_json
from omctl.options import json_option
from omctl.signatures import SIGNATURE_HEADER, curl_line, newest_secret
from webhook_api import signature
from webhook_api.settings import parse_headers

if TYPE_CHECKING:
    from typing import BinaryIO

EXAMPLES = """\b
Examples:
  omctl sign event.json
  printf %s '{"eventType":"x"}' | omctl sign -
  omctl sign event.json --curl http://127.0.0.1:8080/webhooks/genesys/openmessaging
"""


@click.command(epilog=EXAMPLES)
@click.argument("file", type=click.File("rb"))
@click.option("--curl", "url", metavar="URL", help="Print a curl line that posts the body to URL.")
@json_option
def sign(file: BinaryIO, url: str | None, *, as_json: bool) -> None:
    """Print the X-Hub-Signature-256 header for the bytes of FILE ("-": standard input).

    The newest of OM_WEBHOOK_SECRETS signs. The bytes are signed as they are: a trailing newline counts.
    """
    environment = Environment()
    body = file.read()
    value = signature.sign(body, newest_secret(environment))
    if as_json:
        print_json({"header": SIGNATURE_HEADER, "value": value})
    elif url:
        path = None if file.name == "<stdin>" else file.name
        headers = dict(parse_headers(environment.strings("OM_REQUIRED_HEADERS")))
        click.echo(curl_line(url, value, body, path, headers))
    else:
        click.echo(f"{SIGNATURE_HEADER}: {value}")
