"""omctl sign: print the signature header for a body."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from messaging.environment import Environment
from omctl.console import json_option, print_json
from omctl.secrets import newest_secret
from omctl.signing import SIGNATURE_HEADER, signature

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
@click.option("--curl", "url", metavar="URL", help="Print a whole curl line that posts the body to URL.")
@json_option
def sign(file: BinaryIO, url: str | None, *, as_json: bool) -> None:
    """Print the X-Hub-Signature-256 header for the bytes of FILE ("-": standard input).

    The newest of OM_WEBHOOK_SECRETS signs. The bytes are signed as they are: a trailing newline counts.
    """
    body = file.read()
    value = signature(newest_secret(Environment()), body)
    if as_json:
        print_json({"header": SIGNATURE_HEADER, "value": value})
    elif url:
        click.echo(curl_line(url, value, body, None if file.name == "<stdin>" else file.name))
    else:
        click.echo(f"{SIGNATURE_HEADER}: {value}")


def curl_line(url: str, value: str, body: bytes, path: str | None) -> str:
    """Return a shell line that posts *body*, read from *path* if given, with its signature."""
    data = f"@{path}" if path else body.decode()
    words = ["curl", "-sS", "-i", url, "-H", f"{SIGNATURE_HEADER}: {value}"]
    words += ["-H", "Content-Type: application/json", "--data-binary" if path else "--data-raw", data]
    return shlex.join(words)
