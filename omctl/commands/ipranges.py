"""omctl ipranges: write the platform's published addresses as an allow-list."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from messaging.environment import Environment
from omctl.address_ranges import DIRECTIONS, FORMS, SERVICE, Network, read_plain, select
from omctl.console import dry_run_option, json_option, print_json
from omctl.installing import replace
from omctl.platform import platform_client
from workers.genesys import find_region

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
@click.option(
    "--from", "source", type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Convert this list, of the format plain, instead of asking the platform.",
)  # fmt: skip
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Replace this file at once.")
@dry_run_option
@json_option
def ipranges(
    form: str,
    direction: str,
    region: str | None,
    source: Path | None,
    output: Path | None,
    *,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Fetch the addresses that the platform posts from, and write them as an allow-list.

    A list that cannot be right (none for the region, a network as wide as a continent) is refused, and so is
    no answer at all: the file stays as it was, and the exit status is 1. A file that is up to date gets a new
    time of change. On an installed host om-ipranges.timer does this once a day.
    """
    if source is None:
        networks, heading = _published(region, direction)
    else:
        networks = read_plain(source.read_text())
        heading = f"Genesys Cloud, {SERVICE}: {len(networks)} networks from {source}"
    text = FORMS[form](networks, heading)
    is_changed = output is not None and _without_heading(text) != _without_heading(_read(output))
    if output is not None and not dry_run:
        if is_changed:
            replace(output, text, mode=0o644)
        os.utime(output)
    if as_json:
        print_json({"networks": networks, "changed": is_changed, "done": is_changed and not dry_run})
    elif output is None:
        click.echo(text, nl=False)
    else:
        word = ("would be replaced" if dry_run else "replaced") if is_changed else "is up to date"
        click.echo(f"{output} {word}: {len(networks)} networks")


def _published(region: str | None, direction: str) -> tuple[list[Network], str]:
    """Return the networks that the platform lists, and a heading for them."""
    environment = Environment()
    region = environment.string("OM_GENESYS_REGION") if region is None else region
    region = "" if region == EVERY_REGION else find_region(region)
    with platform_client(environment) as client:
        networks = select(client.get(PATH), region, direction)
    where, today = region or "all regions", f"{datetime.now(UTC):%Y-%m-%d}"
    return networks, f"Genesys Cloud, {SERVICE}, {direction}, {where}: {len(networks)} networks, {today}"


def _read(output: Path) -> str:
    return output.read_text() if output.exists() else ""


def _without_heading(text: str) -> str:
    """Return what counts: the day at the top is no change."""
    return text.partition("\n")[2]
