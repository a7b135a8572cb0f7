"""omctl explain-signature: say why a signature does not hold."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from messaging.environment import Environment
from omctl.console import json_option, print_json
from omctl.secrets import SIGNATURE_HEADER, live_secrets
from omctl.signature_diagnosis import Diagnosis, diagnose

if TYPE_CHECKING:
    from typing import BinaryIO

EXAMPLES = """\b
Examples:
  omctl explain-signature body.json --header 'sha256=zj0Sxr8Qpd5K1nDIoaLZbcMUR1KrosMvX/i6xp+XQyA='
  omctl explain-signature - --header "$(cat header.txt)" < body.json
"""


@click.command("explain-signature", epilog=EXAMPLES)
@click.argument("file", type=click.File("rb"))
@click.option(
    "--header", required=True, metavar="VALUE", help="The value of X-Hub-Signature-256, as it came."
)
@json_option
def explain_signature(file: BinaryIO, header: str, *, as_json: bool) -> None:
    """Say whether a signature is genuine for the bytes of FILE ("-": standard input), and if not, why.

    Tries each of OM_WEBHOOK_SECRETS with the mistakes that senders, proxies and programs make: hex instead
    of base64, a missing prefix, a body that was parsed and written again, a newline at its end, a secret
    that was decoded first. Exit status 0 where the edge would let it in, else 1. No secret is shown.
    """
    diagnosis = diagnose(file.read(), header, live_secrets(Environment()))
    if as_json:
        print_json(asdict(diagnosis))
    else:
        click.echo("\n".join(_lines(diagnosis)))
    if not diagnosis.is_genuine:
        raise SystemExit(1)


def _lines(diagnosis: Diagnosis) -> list[str]:
    which = f"secret {diagnosis.secret} of OM_WEBHOOK_SECRETS" + (
        " (the newest)" if diagnosis.secret == 1 else ""
    )
    if diagnosis.is_genuine:
        return [f"genuine: signed with {which}"]
    lines = [f"not genuine: this {SIGNATURE_HEADER} is refused with 401"]
    if diagnosis.secret:
        lines.append(f"signed with {which}, but:")
    for finding, remedy in zip(diagnosis.findings, diagnosis.remedies, strict=True):
        lines += [f"  - {finding}", f"    {remedy}"]
    return lines
