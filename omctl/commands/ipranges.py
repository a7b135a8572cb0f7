"""omctl ipranges: write the platform's published addresses as an allow-list."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import click

from messaging.environment import Environment
from omctl.address_ranges import DIRECTIONS, FORMS, SERVICE, select
from omctl.console import dry_run_option, json_option, print_json
from omctl.platform import platform_client
from workers.genesys import region_of

PATH = "/api/v2/ipranges"
EVERY_REGION = "all"

EXAMPLES = """\b
Examples:
  omctl ipranges --format nginx
  omctl ipranges --format nginx --output /etc/nginx/open-messaging-addresses.conf && nginx -s reload
  omctl ipranges --format nftables --output /etc/nftables.d/open-messaging.nft
"""


@click.command(epilog=EXAMPLES)
@click.option(
    "--format", "form", type=click.Choice(list(FORMS)), default="plain", show_default=True,
    help="nginx: $om_from_platform for a log or a rule; nftables: sets platform4 and platform6.",
)  # fmt: skip
@click.option(
    "--direction", type=click.Choice(list(DIRECTIONS)), default="outbound", show_default=True,
    help="As the platform sees it: outbound is what it posts to us.",
)  # fmt: skip
@click.option(
    "--region", metavar="NAME",
    help="Such as eu-central-1 or mypurecloud.de; all for every region. Default: OM_GENESYS_REGION.",
)  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Replace this file at once.")
@dry_run_option
@json_option
def ipranges(
    form: str, direction: str, region: str | None, output: Path | None, *, dry_run: bool, as_json: bool
) -> None:
    """Fetch the addresses that the platform posts from, and write them as an allow-list.

    A list that cannot be right (none for the region, a network as wide as a continent) is refused, and so is
    no answer at all: the file stays as it was, and the exit status is 1. The signature stays the real guard;
    begin by logging what the list would refuse. Run it once a day.
    """
    environment = Environment()
    region = environment.string("OM_GENESYS_REGION") if region is None else region
    region = "" if region == EVERY_REGION else region_of(region)
    with platform_client(environment) as client:
        networks = select(client.get(PATH), region, direction)
    heading = (
        f"Genesys Cloud, {SERVICE}, {direction}, {region or 'all regions'}: {len(networks)} networks, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )
    text = FORMS[form](networks, heading)
    is_changed = output is not None and _without_heading(text) != _without_heading(_read(output))
    if output is not None and is_changed and not dry_run:
        _replace(output, text)
    if as_json:
        print_json({"networks": networks, "changed": is_changed, "done": is_changed and not dry_run})
    elif output is None:
        click.echo(text, nl=False)
    else:
        word = ("would be replaced" if dry_run else "replaced") if is_changed else "is up to date"
        click.echo(f"{output} {word}: {len(networks)} networks")


def _read(output: Path) -> str:
    return output.read_text() if output.exists() else ""


def _without_heading(text: str) -> str:
    """Return what counts: the day at the top is no change."""
    return text.partition("\n")[2]


def _replace(output: Path, text: str) -> None:
    """Write beside the file, then rename: whoever reads it finds the whole list, old or new."""
    descriptor, beside = tempfile.mkstemp(dir=output.parent, prefix=f".{output.name}.")
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    Path(beside).chmod(0o644)
    Path(beside).replace(output)
